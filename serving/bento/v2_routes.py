"""The Open Inference Protocol (V2) over REST, for bundles: what our MLServer answers, without MLServer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.http_limits import Refused
from serving.runtime.predictor import DATATYPE, Output, Predictor
from serving.runtime.tensors import RequestError
from serving.runtime.v2_requests import InferenceRequest, parsed


@dataclass(frozen=True)
class ServedBundle:
    """A version of a model, under the names that requests ask for it.

    Attributes
    ----------
    routes : a JSON list of the versions on trial beside this one, which its metadata tell.
    """

    name: str
    version: str
    predictor: Predictor
    routes: str = "[]"


class V2Routes:
    """Answers for the bundles in `served`, by name; `server` and `release` are what it says of itself."""

    def __init__(self, served: Mapping[str, ServedBundle], server: str, release: str) -> None:
        self._served = served
        self._about = {"name": server, "version": release, "extensions": []}

    def app(self) -> Starlette:
        """As ASGI."""
        model = "/v2/models/{name}"
        return Starlette(
            routes=[
                Route("/v2", self._server),
                *(Route(f"/v2/health/{probe}", self._healthy) for probe in ("live", "ready")),
                *(Route(f"{path}/ready", self._ready) for path in (model, f"{model}/versions/{{version}}")),
                *(
                    Route(f"{path}/infer", self._infer, methods=["POST"])
                    for path in (model, f"{model}/versions/{{version}}")
                ),
                *(Route(path, self._metadata) for path in (model, f"{model}/versions/{{version}}")),
            ],
            exception_handlers={Refused: _refused, RequestError: _wrong},
        )

    async def _server(self, request: Request) -> Response:
        return _json(self._about)

    async def _healthy(self, request: Request) -> Response:
        return _json(None)

    async def _ready(self, request: Request) -> Response:
        self._asked(request)
        return _json(None)

    async def _metadata(self, request: Request) -> Response:
        served = self._asked(request)
        return _json(served.predictor.metadata(served.name, served.version, served.routes))

    async def _infer(self, request: Request) -> Response:
        served = self._asked(request)
        asked = parsed(InferenceRequest, await request.body())
        outputs = await served.predictor.answer(asked)
        return _json(
            {
                "model_name": served.name,
                "model_version": served.version,
                "id": str(uuid4()) if asked.id is None else asked.id,
                "parameters": served.predictor.facts,
                "outputs": [_tensor(output) for output in outputs],
            }
        )

    def _asked(self, request: Request) -> ServedBundle:
        """Return the bundle. Raises Refused (404) if the request is for another model, or another version."""
        name = request.path_params["name"]
        served = self._served.get(name)
        if served is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"Model {name} not found")
        version = request.path_params.get("version", served.version)
        if version != served.version:
            raise Refused(
                HTTPStatus.NOT_FOUND,
                f"Model {name} has no version {version[:60]!r}: version {served.version} is served.",
            )
        return served


def _tensor(output: Output) -> dict[str, Any]:
    tensor: dict[str, Any] = {"name": output.name, "shape": list(output.values.shape), "datatype": DATATYPE}
    if output.columns is not None:
        tensor["parameters"] = {"columns": output.columns}
    return {**tensor, "data": output.values.ravel().tolist()}


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _json({"error": error.message}, error.status)


async def _wrong(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, HTTPStatus.BAD_REQUEST)


def _json(content: Any, status: int = HTTPStatus.OK) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
