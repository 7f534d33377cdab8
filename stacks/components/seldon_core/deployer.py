"""ZenML's model deployer of what `runtime` names: one service a model, whatever version it serves."""

from __future__ import annotations

from typing import ClassVar, cast
from uuid import UUID

from zenml.models.v2.misc.service import ServiceType
from zenml.services import BaseService, ServiceConfig
from zenml.services.service import BaseDeploymentService

from stacks.components.deployer_base import OneServiceDeployer
from stacks.components.seldon_core.cluster_serving import namespace_of, serving_of
from stacks.components.seldon_core.config import SeldonCoreDeployerConfig
from stacks.components.seldon_core.description import ServedBundle
from stacks.components.seldon_core.renderings import require_serving
from stacks.components.seldon_core.serving_protocol import ServedModels
from stacks.components.seldon_core_service import SeldonCoreDeploymentConfig, SeldonCoreService
from stacks.errors import StackError

_TIMEOUT = 300  # ZenML's own; ours is a setting


class SeldonCoreDeployer(OneServiceDeployer):
    """Deploys bundles to a cluster, or as processes here; ZenML's store is told after it."""

    NAME: ClassVar[str] = "Seldon Core"
    SERVICE: ClassVar[type[BaseDeploymentService]] = SeldonCoreService
    PLACE: ClassVar[tuple[str, ...]] = ("cluster", "identity")

    @property
    def config(self) -> SeldonCoreDeployerConfig:
        """Settings of the component."""
        return cast(SeldonCoreDeployerConfig, self._config)

    @property
    def serving(self) -> ServedModels:
        """What is served, in the cluster or here."""
        return serving_of(self.config)

    @property
    def identity(self) -> str:
        """What tells its cluster from another with the same namespace; "" on this machine."""
        return "" if self.config.is_local else namespace_of(self.config).cluster()

    def reached(self) -> str:
        """Return what `stack check` tells: the cluster answers and lets this login deploy; or where."""
        require_serving(self.config.runtime)
        return self.serving.reached()

    def deployment(self, name: str, bundle: ServedBundle) -> SeldonCoreDeploymentConfig:
        """Return what `record` takes."""
        return SeldonCoreDeploymentConfig(
            name=name,
            service_name=name,
            model_name=name,
            model_version=bundle.version,
            digest=bundle.digest,
            uri=bundle.uri,
            cluster=self.config,
            identity=self.identity,
        )

    def deploy_model(
        self,
        config: ServiceConfig,
        service_type: ServiceType = SeldonCoreService.SERVICE_TYPE,
        replace: bool = True,
        continuous_deployment_mode: bool = True,
        timeout: int = _TIMEOUT,
    ) -> BaseService:
        """Raise StackError: a version is proved by its golden answers, which ZenML does not hand over."""
        raise StackError("Deploy through the endpoint: python run.py --pipeline deploy")

    def is_here(self, service: BaseService) -> bool:
        """Whether it is in the namespace of the cluster, or the folder, of this component."""
        config = cast(SeldonCoreService, service).config
        places = {(each.is_local, each.here().place) for each in (config.cluster, self.config)}
        return len(places) == 1 and config.identity in ("", self.identity)

    @staticmethod
    def get_model_server_info(service: BaseService) -> dict[str, str | None]:
        """Return what `zenml model-deployer models describe` shows."""
        service = cast(SeldonCoreService, service)
        return {
            "PREDICTION_URL": service.prediction_url,
            "HEALTH_CHECK_URL": service.get_healthcheck_url(),
            "MODEL_NAME": service.config.model_name,
            "MODEL_VERSION": service.config.model_version,
            "BUNDLE": service.config.digest,
            "PLACE": service.config.cluster.here().place,
            "RUNTIME": service.config.cluster.runtime,
        }

    def perform_deploy_model(self, id: UUID, config: ServiceConfig, timeout: int = _TIMEOUT) -> BaseService:
        """ZenML's base class asks for it."""
        raise StackError("Deploy through the endpoint: python run.py --pipeline deploy")

    def perform_stop_model(
        self, service: BaseService, timeout: int = _TIMEOUT, force: bool = False
    ) -> BaseService:
        """Take a model away; what was served stays known."""
        service.stop(timeout=timeout, force=force)
        return service

    def perform_start_model(self, service: BaseService, timeout: int = _TIMEOUT) -> BaseService:
        """Raise StackError: a version is proved when it is deployed."""
        raise StackError("Deploy it again: python run.py --pipeline deploy")

    def perform_delete_model(
        self, service: BaseService, timeout: int = _TIMEOUT, force: bool = False
    ) -> None:
        """Take a model away and forget it."""
        self.serving.forget(cast(SeldonCoreService, service).config.model_name)
