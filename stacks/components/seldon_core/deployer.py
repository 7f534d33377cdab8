"""ZenML's model deployer on Kubernetes: one service a model, whatever version it serves."""

from __future__ import annotations

from typing import Any, ClassVar, cast
from uuid import UUID

from zenml.client import Client
from zenml.enums import ServiceState
from zenml.model_deployers import BaseModelDeployer, BaseModelDeployerFlavor
from zenml.model_deployers.base_model_deployer import get_model_version_id_if_exists
from zenml.models.v2.misc.service import ServiceType
from zenml.services import BaseService, ServiceConfig

from stacks.cluster.namespace import Namespace
from stacks.components.seldon_core.flavor import SeldonCoreDeployerConfig, SeldonCoreDeployerFlavor
from stacks.components.seldon_core.served import ServedBundle
from stacks.components.seldon_core.serving import ClusterServing, namespace_of, serving_of
from stacks.components.seldon_core_service import SeldonCoreDeploymentConfig, SeldonCoreService
from stacks.errors import StackError

_TIMEOUT = 300  # ZenML's own; ours is a setting


class SeldonCoreDeployer(BaseModelDeployer):
    """Deploys bundles to a cluster, which is told first, ZenML's store after it."""

    NAME: ClassVar[str] = "Seldon Core"
    FLAVOR: ClassVar[type[BaseModelDeployerFlavor]] = SeldonCoreDeployerFlavor
    SERVICE_TYPE: ClassVar[ServiceType] = SeldonCoreService.SERVICE_TYPE

    @property
    def config(self) -> SeldonCoreDeployerConfig:
        """Settings of the component."""
        return cast(SeldonCoreDeployerConfig, self._config)

    @property
    def namespace(self) -> Namespace:
        """The namespace of the cluster."""
        return namespace_of(self.config)

    @property
    def serving(self) -> ClusterServing:
        """What is served there."""
        return serving_of(self.config)

    def reached(self) -> str:
        """Return what `stack check` tells: the cluster answers, and lets this login deploy."""
        return self.serving.reached()

    def record(self, name: str, bundle: ServedBundle) -> None:
        """Write a version that serves into ZenML's store, in place of the one before."""
        config = SeldonCoreDeploymentConfig(
            name=name,
            service_name=name,
            model_name=name,
            model_version=bundle.version,
            digest=bundle.digest,
            uri=bundle.uri,
            cluster=self.config,
        )
        before = self.find_model_server(model_name=name)
        response = Client().create_service(
            config=config,
            service_type=SeldonCoreService.SERVICE_TYPE,
            model_version_id=get_model_version_id_if_exists(name, bundle.version),
        )
        service = SeldonCoreService(uuid=response.id, config=config, admin_state=ServiceState.ACTIVE)
        service.update_status()
        Client().update_service(
            id=service.uuid,
            name=name,
            service_source=service.model_dump().get("type"),
            admin_state=service.admin_state,
            status=service.status.model_dump(),
            prediction_url=service.prediction_url,
            health_check_url=service.get_healthcheck_url(),
        )
        for old in before:
            Client().delete_service(old.uuid)

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

    def find_model_server(
        self,
        config: dict[str, Any] | None = None,
        running: bool | None = None,
        service_uuid: UUID | None = None,
        pipeline_name: str | None = None,
        pipeline_step_name: str | None = None,
        service_name: str | None = None,
        model_name: str | None = None,
        model_version: str | None = None,
        service_type: ServiceType | None = None,
        type: str | None = None,
        flavor: str | None = None,
        pipeline_run_id: str | None = None,
    ) -> list[BaseService]:
        """ZenML's, but for this deployer's services alone, and by model name whatever version it serves."""
        found = super().find_model_server(
            config=config,
            running=running,
            service_uuid=service_uuid,
            pipeline_name=pipeline_name,
            pipeline_step_name=pipeline_step_name,
            service_name=service_name or model_name,
            service_type=service_type or SeldonCoreService.SERVICE_TYPE,
            pipeline_run_id=pipeline_run_id,
        )
        ours = [one for one in found if isinstance(one, SeldonCoreService)]
        here = [one for one in ours if one.config.cluster.namespace == self.config.namespace]
        return [one for one in here if model_version in (None, one.config.model_version)]

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
            "NAMESPACE": service.config.cluster.namespace,
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
        name = cast(SeldonCoreService, service).config.model_name
        self.serving.stop(name)
        self.namespace.delete("ConfigMap", name)
