"""A model on the model server, as ZenML's services see it.

This module keeps its name: ZenML's store holds it with every service that was deployed.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from zenml.enums import ServiceState
from zenml.models.v2.misc.service import ServiceType
from zenml.services import ServiceConfig, ServiceStatus
from zenml.services.service import BaseDeploymentService

from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.flavor import MLServerDeployerConfig
from stacks.components.mlserver.folder import ServedModel
from stacks.components.mlserver.server import ModelServer
from stacks.errors import StackError

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 5_000  # a request; the server takes 10,000


class MLServerDeploymentConfig(ServiceConfig):
    """Which version of which model is served from which bundle, on which server."""

    bundle: str
    golden: str
    digest: str
    server: MLServerDeployerConfig


class MLServerService(BaseDeploymentService):
    """One model on the model server: what is served, whether it is healthy, predictions by DataFrame."""

    SERVICE_TYPE = ServiceType(
        name="mlserver-deployment",
        type="model-serving",
        flavor="mlserver",
        description="A model on a local MLServer",
    )

    config: MLServerDeploymentConfig
    status: ServiceStatus = ServiceStatus()

    @property
    def model(self) -> ServedModel:
        """The version this service stands for."""
        return ServedModel(self.config.model_name, self.config.model_version, self.config.digest)

    @property
    def server(self) -> ModelServer:
        """The model server."""
        return ModelServer(self.config.server)

    @property
    def url(self) -> str | None:
        """Address of the model server, or None if it is not running."""
        daemon = self.server.daemon()
        return f"http://127.0.0.1:{daemon.http_port}" if daemon else None

    @property
    def prediction_url(self) -> str | None:
        """Where V2 requests go, or None if the server is not running."""
        url = self.url
        return f"{url}/v2/models/{self.config.model_name}/infer" if url else None

    @property
    def healthcheck_url(self) -> str | None:
        """Answers 200 once the model is ready."""
        url = self.url
        return f"{url}/v2/models/{self.config.model_name}/ready" if url else None

    def get_healthcheck_url(self) -> str | None:
        """As `healthcheck_url`: ZenML would ask an endpoint, which this service has none of."""
        return self.healthcheck_url

    def check_status(self) -> tuple[ServiceState, str]:
        """Whether the process lives and answers with this version; within some seconds."""
        daemon = self.server.daemon()
        if daemon is None:
            return ServiceState.INACTIVE, self._why_not_running()
        said = ModelServerClient(daemon.http_port).metadata(self.config.model_name)
        if said is None:
            if self.config.model_name not in self.server.folder.served():
                return ServiceState.INACTIVE, "stopped"
            silent = f"the model server (process {daemon.pid}) does not answer for it"
            return ServiceState.ERROR, f"{silent}; {self.server.supervision()}"
        versions, digest = said.get("versions"), said.get("parameters", {}).get("digest")
        if (versions, digest) != ([self.config.model_version], self.config.digest):
            return ServiceState.ERROR, f"the model server answers as version {versions}: deploy again"
        self.status.clear_error()
        return ServiceState.ACTIVE, ""

    @property
    def supervision(self) -> str:
        """Who brings the server back when it has ended, and what that has done of late."""
        return self.server.supervision()

    def provision(self) -> None:
        """Serve this version, starting the server if it is not running."""
        self.server.start(self.model)

    def deprovision(self, force: bool = False) -> None:
        """Serve the model no longer; the last one ends the server."""
        self.server.stop(self.config.model_name)

    def predict(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """P(severe) of each row of a frame with the model's features as columns, float64 [n]; NaN is missing.

        Raises StackError if the server is not running, a feature is missing, or a value is refused.
        """
        daemon = self.server.daemon()
        if daemon is None:
            raise StackError(f"{self.config.model_name} is not served: {self._why_not_running()}")
        client = ModelServerClient(daemon.http_port, self.config.server.load_timeout)
        said = client.metadata(self.config.model_name)
        if said is None:
            raise StackError(f"{self.config.model_name} is not served: the model server does not know it.")
        features = [tensor["name"] for tensor in said["inputs"]]
        missing = [name for name in features if name not in frame.columns]
        if missing:
            raise StackError(f"The frame lacks the features {', '.join(missing)}.")
        answers = [
            client.predict(self.config.model_name, _request(frame[features].iloc[k : k + _ROWS]))
            for k in range(0, len(frame), _ROWS)
        ]
        return np.array([p for answer in answers for p in answer], dtype=np.float64)

    def get_logs(self, follow: bool = False, tail: int | None = None) -> Generator[str, bool, None]:
        """The server's log, oldest line first; all models of a server share it."""
        if follow:
            raise StackError(f"Following is not offered: tail -F {self.server.folder.log}")
        lines = list(_lines(self.server.folder.log))
        yield from islice(lines, max(0, len(lines) - tail) if tail else 0, None)

    def _why_not_running(self) -> str:
        if self.config.model_name not in self.server.folder.served():
            return "stopped"
        return f"the model server's process has ended; {self.server.supervision()}"


def _lines(log: Path) -> Iterator[str]:
    for path in (log.with_name(f"{log.name}.2"), log.with_name(f"{log.name}.1"), log):
        if path.is_file():
            yield from path.read_text(encoding="utf-8", errors="replace").splitlines()


def _request(frame: pd.DataFrame) -> dict[str, Any]:
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
