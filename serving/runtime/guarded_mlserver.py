"""The program of the model server: MLServer behind a guard, its repository open to the deployer alone.

    python -m serving.runtime.guarded_mlserver FOLDER [TOKEN_FILE]

FOLDER holds the models, and MLServer's settings.json where they do not come from the environment. Whoever has
the token may load and unload models, over REST; nobody may over gRPC, nor without a token file.
`grpc_max_message_length` of the settings bounds the bodies of both. $MODEL_SERVER_HOSTS: names under which it
may be asked, with commas, beside those of loopback. $MODEL_SERVER_ALIAS: NAME=MODEL, another name of a model.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import uvicorn
from mlserver import MLServer
from mlserver.cli.serve import load_settings
from mlserver.grpc.dataplane_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from mlserver.grpc.interceptors import PromServerInterceptor
from mlserver.grpc.server import GRPCServer
from mlserver.grpc.servicers import InferenceServicer
from mlserver.metrics import MetricsServer
from mlserver.rest import RESTServer
from mlserver.settings import Settings
from mlserver.utils import install_uvloop_event_loop

from serving.http_limits import LimitedProtocol
from serving.runtime.guard import CLOSED, MAX_BODY, Guard, allowed_hosts
from serving.runtime.infer_route import InferRoute
from serving.runtime.model_by_version import VersionedModels
from serving.runtime.v2_binary_data import PlainBodies

# Ends the name of a version that proves itself: what a killed deployment left of one is not loaded.
_CANDIDATE = "-candidate"


class ModelServer(MLServer):  # type: ignore[misc]
    """MLServer with a guard before each of its doors."""

    def __init__(self, settings: Settings, token: str | None) -> None:
        self._token = token
        super().__init__(settings)

    def _create_model_registry(self) -> VersionedModels:
        models = VersionedModels()
        models.__dict__.update(super()._create_model_registry().__dict__)  # MLServer's callbacks of loading
        return models

    def _create_servers(self) -> None:
        settings = self._settings
        self._rest_server = _Rest(settings, self._data_plane, self._model_repository_handlers)
        self._rest_server.token = self._token
        self._grpc_server = _GRPC(settings, self._data_plane, self._model_repository_handlers)
        self._kafka_server = None
        if settings.metrics_endpoint:
            self._metrics_server = _Metrics(settings)


class _Rest(RESTServer):  # type: ignore[misc]
    token: str | None

    def _get_config(self) -> uvicorn.Config:
        config, settings = super()._get_config(), self._settings
        counted = settings.metrics_rest_server_prefix if settings.metrics_endpoint else None
        config.app = InferRoute(config.app, self._data_plane, counted)
        return _guarded(config, settings, self.token)


class _Metrics(MetricsServer):  # type: ignore[misc]
    def _get_config(self) -> uvicorn.Config:
        return _guarded(super()._get_config(), self._settings)


class _GRPC(GRPCServer):  # type: ignore[misc]
    """Without the service that loads models. A page cannot speak gRPC: there is no Origin to look at."""

    def _create_server(self) -> Any:
        interceptors = []
        if self._settings.metrics_endpoint:
            interceptors.append(PromServerInterceptor(enable_handling_time_histogram=True))
        self._server = grpc.aio.server(interceptors=interceptors, options=self._get_options())
        servicer = _Servicer(self._data_plane, self._model_repository_handlers)
        add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        self._server.add_insecure_port(f"{self._settings.host}:{self._settings.grpc_port}")
        return self._server

    def _get_options(self) -> list[tuple[str, Any]]:
        # Otherwise a second server on this port would start, and get a share of the requests.
        return [*super()._get_options(), ("grpc.so_reuseport", 0)]


class _Servicer(InferenceServicer):  # type: ignore[misc]
    async def _refuse(self, request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, CLOSED)

    RepositoryIndex = RepositoryModelLoad = RepositoryModelUnload = _refuse


def _guarded(config: uvicorn.Config, settings: Settings, token: str | None = None) -> uvicorn.Config:
    max_body = settings.grpc_max_message_length or MAX_BODY
    app: Any = config.app
    config.app = Guard(PlainBodies(app, max_body), allowed_hosts(settings.host), max_body, token)
    config.http, config.ws = LimitedProtocol, "none"
    return config


async def serve(folder: str, token_file: str | None = None) -> None:
    """Serve until told to stop."""
    settings, models = await load_settings(folder)
    models = [model for model in models if not model.name.endswith(_CANDIDATE)]
    token = Path(token_file).read_text(encoding="utf-8").strip() if token_file else None
    await ModelServer(settings, token).start(models)


if __name__ == "__main__":
    install_uvloop_event_loop()
    asyncio.run(serve(*sys.argv[1:]))
