"""What our model deployers share: one service a model in ZenML's store, whatever version it serves."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar
from uuid import UUID

from zenml.client import Client
from zenml.enums import ServiceState
from zenml.model_deployers import BaseModelDeployer
from zenml.model_deployers.base_model_deployer import get_model_version_id_if_exists
from zenml.models.v2.misc.service import ServiceType
from zenml.services import BaseService, ServiceConfig, ServiceStatus
from zenml.services.service import BaseDeploymentService


class OneServiceDeployer(BaseModelDeployer):
    """Knows a model's service by the model's name; what the store says is served was served.

    Without ZenML's `FLAVOR`, a circle: only its `get_active_model_deployer`, called by nobody, reads it.
    """

    SERVICE: ClassVar[type[BaseDeploymentService]]
    PLACE: ClassVar[tuple[str, ...]]  # the parts of a service's configuration that say where it is served

    @abstractmethod
    def is_here(self, service: BaseService) -> bool:
        """Whether a service of this flavor is on the server, or in the namespace, of this component."""

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
        """ZenML's, but for this deployer's services alone, and by model name whatever version it serves.

        ZenML's own looks for services of the latest registered version only.
        """
        services = super().find_model_server(
            config=config,
            running=running,
            service_uuid=service_uuid,
            pipeline_name=pipeline_name,
            pipeline_step_name=pipeline_step_name,
            service_name=service_name or model_name,
            service_type=service_type or self.SERVICE.SERVICE_TYPE,
            pipeline_run_id=pipeline_run_id,
        )
        here = [
            service for service in services if isinstance(service, self.SERVICE) and self.is_here(service)
        ]
        return [service for service in here if model_version in (None, service.config.model_version)]

    def record(self, config: ServiceConfig) -> BaseDeploymentService:
        """Write a version that serves into ZenML's store, in place of the one before; return its service."""
        before = self.find_model_server(model_name=config.model_name)
        same = [service for service in before if self._serves(service, config)]
        service = same[0] if same else self._create(config)
        assert isinstance(service, BaseDeploymentService)
        service.admin_state = ServiceState.ACTIVE
        service.update_status()
        Client().update_service(
            id=service.uuid,
            name=config.model_name,
            service_source=service.model_dump().get("type"),
            admin_state=service.admin_state,
            status=service.status.model_dump(),
            prediction_url=service.prediction_url,
            health_check_url=service.get_healthcheck_url(),
        )
        for old in before:
            if old.uuid != service.uuid:
                Client().delete_service(old.uuid)
        return service

    def _serves(self, service: BaseService, config: ServiceConfig) -> bool:
        """Whether it stands for this version in this place; ZenML adds names of its own to what it keeps."""
        names = ("model_name", "model_version", "digest", *self.PLACE)
        return all(getattr(service.config, name) == getattr(config, name) for name in names)

    def _create(self, config: ServiceConfig) -> BaseDeploymentService:
        response = Client().create_service(
            config=config,
            service_type=self.SERVICE.SERVICE_TYPE,
            model_version_id=get_model_version_id_if_exists(config.model_name, config.model_version),
        )
        return self.SERVICE(uuid=response.id, config=config, status=ServiceStatus())
