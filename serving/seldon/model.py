"""The bundle behind Seldon Core's Python server: the class that it is given.

    seldon-core-microservice serving.seldon.model.BundleModel      on a cluster: all interfaces, gRPC, metrics
    python -m serving.seldon BUNDLE ...                            on a laptop: loopback alone

Its parameters are those of the unit in a SeldonDeployment's graph, which Seldon hands over by their names.
The bundle is loaded here, before the server is forked into processes, and not in `load`, which Seldon calls
in each of them: so a damaged one is an error at the start, and a worker that comes back need not load it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.proto.prediction_pb2 import SeldonMessage
from seldon_core.utils import (
    construct_response,
    construct_response_json,
    get_meta_from_proto,
    seldon_message_to_json,
)

from serving.runtime.predictor import PROBABILITY, Predictor
from serving.runtime.tensors import RequestError
from serving.seldon.v1_requests import read_request

MOUNTED = "/mnt/models"  # where Seldon's storage initializer puts a model


class RefusedRequest(SeldonMicroserviceException):  # type: ignore[misc]
    """A request that is wrong: 400 with the reason, over gRPC the reason."""

    def __str__(self) -> str:
        return str(self.message)


class BundleModel:
    """Serves one bundle.

    Parameters
    ----------
    bundle : its folder.
    digest : that it must have; empty: any.
    name, version : what it is served as; by default the name that the bundle says, and no version.

    Raises
    ------
    BundleError
        It is not whole, or not the one that was meant.
    """

    def __init__(self, bundle: str = MOUNTED, digest: str = "", name: str = "", version: str = "") -> None:
        self._predictor = Predictor(Path(bundle), digest or None)
        self._metadata = self._predictor.metadata(name or self._predictor.name, version or None)
        self._lock = threading.Lock()  # the predictor serves one request at a time

    def predict_raw(self, message: Any) -> Any:
        """P(severe) of each accident in a message, JSON or protobuf. Raises RefusedRequest (400)."""
        over_grpc = isinstance(message, SeldonMessage)
        content = seldon_message_to_json(message) if over_grpc else message
        try:
            request = read_request(content)
            with self._lock:
                (answered,) = self._predictor.answer_here(request)
        except RequestError as error:
            raise RefusedRequest(str(error)) from None
        column = answered.values.reshape(-1, 1)
        if over_grpc:
            return construct_response(self, False, message, column, get_meta_from_proto(message), [])
        return construct_response_json(self, False, content, column, content.get("meta"), [])

    def class_names(self) -> list[str]:
        """Return what the one column of an answer holds."""
        return [PROBABILITY]

    def tags(self) -> dict[str, Any]:
        """Return who answered: version, digest and thresholds, with every answer."""
        return {**self._predictor.facts, "version": ", ".join(self._metadata["versions"])}

    def health_status(self) -> str:
        """Say that the model is loaded, for /health/status."""
        return f"{self._metadata['name']} answers"

    def init_metadata(self) -> dict[str, Any]:
        """Return what the model takes and gives, as Seldon's schema has it."""
        features = list(self._predictor.features)
        return {
            **{key: self._metadata[key] for key in ("name", "versions", "platform")},
            "inputs": [_array(features)],
            "outputs": [_array(self.class_names())],
            "custom": {key: str(value) for key, value in self._predictor.facts.items()},
        }


def _array(names: list[str]) -> dict[str, Any]:
    return {"messagetype": "ndarray", "schema": {"names": names, "shape": [len(names)]}}
