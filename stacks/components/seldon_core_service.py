"""A model in a cluster, or of Seldon's server on this machine, as ZenML's services see it.

This module keeps its name: ZenML's store holds it with every service that was deployed.
"""

from __future__ import annotations

from collections.abc import Generator

from zenml.enums import ServiceState
from zenml.models.v2.misc.service import ServiceType
from zenml.services import ServiceConfig, ServiceStatus
from zenml.services.service import BaseDeploymentService

from stacks.components.seldon_core.cluster_serving import serving_of
from stacks.components.seldon_core.config import SeldonCoreDeployerConfig
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.serving_protocol import ServedModels
from stacks.errors import StackError


class SeldonCoreDeploymentConfig(ServiceConfig):
    """Which version of which model is served from which bundle; `cluster` says where, and by what.

    `identity` tells that cluster from another with the same namespace; "" of this machine, or if it is older.
    """

    digest: str
    uri: str
    cluster: SeldonCoreDeployerConfig
    identity: str = ""


class SeldonCoreService(BaseDeploymentService):
    """One model: what is served, whether it is healthy."""

    SERVICE_TYPE = ServiceType(
        name="seldon-core-deployment",
        type="model-serving",
        flavor="seldon_core",
        description="A model on Kubernetes, or of Seldon's server",
    )

    config: SeldonCoreDeploymentConfig
    status: ServiceStatus = ServiceStatus()

    @property
    def serving(self) -> ServedModels:
        """The models of its namespace, or folder."""
        return serving_of(self.config.cluster)

    @property
    def prediction_url(self) -> str | None:
        """Where requests go, within the cluster or on this machine."""
        served = self._served()
        return None if served is None else self.serving.prediction_url(*served)

    def get_healthcheck_url(self) -> str | None:
        """Answers 200 once the model is ready, at the same place."""
        served = self._served()
        return None if served is None else self.serving.health_url(*served)

    def check_status(self) -> tuple[ServiceState, str]:
        """Whether the version answers, as it is now."""
        served = self._served()
        if served is None:
            return ServiceState.INACTIVE, "stopped"
        fault = self.serving.fault(*served)
        if not fault:
            self.status.clear_error()
        return (ServiceState.ERROR, fault) if fault else (ServiceState.ACTIVE, "")

    def provision(self) -> None:
        """Raise StackError: a version is proved when it is deployed."""
        raise StackError("Deploy it again: python run.py --pipeline deploy")

    def deprovision(self, force: bool = False) -> None:
        """Take the model away; what was served stays known."""
        self.serving.stop(self.config.model_name)

    def get_logs(self, follow: bool = False, tail: int | None = None) -> Generator[str, bool, None]:
        """Yield what its model servers have logged, one after another."""
        if follow:
            raise StackError(f"Following is not offered: {self.serving.how_to_follow(*self._there())}")
        yield from self.serving.log(*self._there(), tail or 500)

    def _served(self) -> tuple[Served, ServedBundle] | None:
        served = self.serving.served(self.config.model_name)
        return None if served is None or served.stopped else (served, served.champion)

    def _there(self) -> tuple[Served, ServedBundle]:
        served = self._served()
        if served is None:
            raise StackError(f"{self.config.model_name} does not run.")
        return served
