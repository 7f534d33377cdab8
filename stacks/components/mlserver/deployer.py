"""ZenML's model deployer on an MLServer of this machine: one service a model, whatever version it serves."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast
from uuid import UUID

from filelock import FileLock
from zenml.models.v2.misc.service import ServiceType
from zenml.services import BaseService, ServiceConfig
from zenml.services.service import BaseDeploymentService

from stacks.components.deployer_base import OneServiceDeployer
from stacks.components.mlserver.config import MLServerDeployerConfig
from stacks.components.mlserver.folder import bundle_digest
from stacks.components.mlserver.server import ModelServer
from stacks.components.mlserver_service import MLServerDeploymentConfig, MLServerService
from stacks.container_engine import container_engine, find_image
from stacks.errors import StackError

_TIMEOUT = 300  # ZenML's own


class MLServerDeployer(OneServiceDeployer):
    """Deploys bundles to the model server of this machine.

    The server is told first, ZenML's store after it: what the store says is served was served.
    """

    NAME: ClassVar[str] = "MLServer"
    SERVICE: ClassVar[type[BaseDeploymentService]] = MLServerService
    PLACE: ClassVar[tuple[str, ...]] = ("server",)

    @property
    def config(self) -> MLServerDeployerConfig:
        """Settings of the component."""
        return cast(MLServerDeployerConfig, self._config)

    @property
    def server(self) -> ModelServer:
        """The model server."""
        return ModelServer(self.config)

    def reached(self) -> str:
        """Return what `stack check` tells: the engine has the image of a container; "" for a process."""
        image = self.server.settings.image
        if not image:
            return ""
        with container_engine() as engine:
            return f"the container engine answers, and has the image {find_image(engine, image).id}"

    def deployment(
        self, *, model_name: str, model_version: str, bundle: Path, golden: Path, digest: str | None = None
    ) -> MLServerDeploymentConfig:
        """Return what `deploy_model` takes: a version of a model, its bundle and its golden requests.

        Raises StackError if there is no bundle, or another one than `digest` says, where that is known.
        """
        actual = bundle_digest(bundle)
        if digest not in (None, actual):
            raise StackError(f"{bundle} is not the bundle of version {model_version} that was registered.")
        return MLServerDeploymentConfig(
            name=model_name,
            service_name=model_name,
            model_name=model_name,
            model_version=model_version,
            bundle=str(bundle),
            golden=str(golden),
            digest=actual,
            server=self.config.here(),
        )

    def deploy_model(
        self,
        config: ServiceConfig,
        service_type: ServiceType = MLServerService.SERVICE_TYPE,
        replace: bool = True,
        continuous_deployment_mode: bool = True,
        timeout: int = _TIMEOUT,
    ) -> MLServerService:
        """Serve a version in place of the one that is served under the model's name.

        ZenML's own method deletes the old server before it starts the new one. Here the old version serves
        until the new one has proved itself, and goes on if it does not.

        Parameters
        ----------
        config : from `deployment`.
        service_type, replace, continuous_deployment_mode, timeout : ZenML's; a model has one service, which
            is always replaced, and the times are settings of the component.

        Raises
        ------
        StackError
            With the reason; the old version serves, and ZenML's store says so.
        """
        if not isinstance(config, MLServerDeploymentConfig):
            raise StackError("The mlserver deployer takes what its method `deployment` makes.")
        # Server and store together: of two deployments at once, the later one is in both.
        self.server.folder.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.server.folder.root / "record.lock"):
            bundle, golden = Path(config.bundle), Path(config.golden)
            self.server.deploy(config.model_name, config.model_version, bundle, golden)
            return cast(MLServerService, self.record(config))

    def is_here(self, service: BaseService) -> bool:
        """Whether it is on the server of this component's folder."""
        folder = cast(MLServerService, service).config.server.folder
        return Path(folder).resolve() == self.server.folder.root

    @staticmethod
    def get_model_server_info(service: BaseService) -> dict[str, str | None]:
        """Return what `zenml model-deployer models describe` shows."""
        service = cast(MLServerService, service)
        daemon = service.server.daemon()
        return {
            "PREDICTION_URL": service.prediction_url,
            "HEALTH_CHECK_URL": service.healthcheck_url,
            "MODEL_NAME": service.config.model_name,
            "MODEL_VERSION": service.config.model_version,
            "BUNDLE": service.config.digest,
            "GRPC_ADDRESS": f"127.0.0.1:{daemon.ports['grpc_port']}" if daemon else None,
            "METRICS_URL": f"http://127.0.0.1:{daemon.ports['metrics_port']}/metrics" if daemon else None,
            "RUNS_AS": str(daemon) if daemon else None,
            "SERVER_FOLDER": service.config.server.folder,
        }

    def perform_deploy_model(self, id: UUID, config: ServiceConfig, timeout: int = _TIMEOUT) -> BaseService:
        """ZenML's base class asks for it; `deploy_model` does the work here."""
        raise StackError("Call `deploy_model`.")

    def perform_stop_model(
        self, service: BaseService, timeout: int = _TIMEOUT, force: bool = False
    ) -> BaseService:
        """Serve a model no longer until it is started again; the last one ends the server."""
        service.stop(timeout=timeout, force=force)
        return service

    def perform_start_model(self, service: BaseService, timeout: int = _TIMEOUT) -> BaseService:
        """Serve a stopped model again, or one whose server has ended."""
        service.start(timeout=timeout)
        return service

    def perform_delete_model(
        self, service: BaseService, timeout: int = _TIMEOUT, force: bool = False
    ) -> None:
        """Stop a model and forget it."""
        cast(MLServerService, service).server.remove(cast(MLServerService, service).config.model_name)
