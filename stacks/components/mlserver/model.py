"""One model of a model server: whether it answers, and its predictions by DataFrame; without ZenML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.folder import ServedModel
from stacks.components.mlserver.server import ModelServer
from stacks.errors import StackError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

_ROWS = 5_000  # a request; the server takes 10,000


def fault_of(server: ModelServer, model: ServedModel) -> str:
    """Why the server does not answer as this version, found out within some seconds; empty if it does."""
    daemon = server.daemon()
    if daemon is None:
        return _why_not_running(server, model.name)
    metadata = ModelServerClient(daemon.http_port).metadata(model.name)
    if metadata is None:
        if model.name not in server.folder.served():
            return "stopped"
        return f"the model server ({daemon}) does not answer for it; {server.supervision()}"
    versions, digest = metadata.get("versions"), metadata.get("parameters", {}).get("digest")
    if (versions, digest) != ([model.version], model.digest):
        return f"the model server answers as version {versions}: deploy again"
    return ""


def predict(server: ModelServer, name: str, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """P(severe) of each row of a frame with the model's features as columns, float64 [n]; NaN is missing.

    Raises StackError if the server is not running, a feature is missing, or a value is refused.
    """
    daemon = server.daemon()
    if daemon is None:
        raise StackError(f"{name} is not served: {_why_not_running(server, name)}")
    return predict_with(ModelServerClient(daemon.http_port, server.settings.load_timeout), name, frame)


class V2Client(Protocol):
    """What speaks V2: a server, or a version of a model wherever it is."""

    def metadata(self, name: str) -> dict[str, Any] | None:
        """Return what it says of a model, None if it does not know it."""
        ...

    def predict(self, name: str, request: dict[str, Any]) -> list[float]:
        """Return the output p_severe of a V2 request."""
        ...


def predict_with(client: V2Client, name: str, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the same of any server that speaks V2."""
    import numpy as np

    metadata = client.metadata(name)
    if metadata is None:
        raise StackError(f"{name} is not served: the model server does not know it.")
    features = [tensor["name"] for tensor in metadata["inputs"]]
    missing = [feature for feature in features if feature not in frame.columns]
    if missing:
        raise StackError(f"The frame lacks the features {', '.join(missing)}.")
    answers = [
        client.predict(name, _request(frame[features].iloc[k : k + _ROWS]))
        for k in range(0, len(frame), _ROWS)
    ]
    return np.array([p for answer in answers for p in answer], dtype=np.float64)


def _why_not_running(server: ModelServer, name: str) -> str:
    if name not in server.folder.served():
        return "stopped"
    return f"the model server has ended; {server.supervision()}"


def _request(frame: pd.DataFrame) -> dict[str, Any]:
    import numpy as np

    values = frame.to_numpy(dtype=np.float64)
    data = np.where(np.isnan(values), None, values)  # type: ignore[call-overload]
    return {
        "inputs": [
            {
                "name": "features",
                "datatype": "FP64",
                "shape": list(values.shape),
                "data": data.ravel().tolist(),
                "parameters": {"columns": list(frame.columns)},
            }
        ]
    }
