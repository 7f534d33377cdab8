"""Endpoints of ZenML's own `mlflow` deployer, which starts a server for each version."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from accidents.rollout.traffic_split import CHAMPION, Role
from stacks.components.services_here import services_here
from stacks.endpoints.adapter import OneVersionEndpoint, explained
from stacks.endpoints.component import Component
from stacks.endpoints.protocol import (
    BundleReference,
    DeploymentError,
    Endpoint,
    EndpointState,
    Predictor,
    ServedVersion,
    State,
)
from stacks.processes import end, started_with

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from zenml.integrations.mlflow.model_deployers import MLFlowModelDeployer
    from zenml.integrations.mlflow.services.mlflow_deployment import (
        MLFlowDeploymentConfig,
        MLFlowDeploymentService,
    )
    from zenml.model_deployers import BaseModelDeployer
    from zenml.models.v2.misc.service import ServiceType

    from accidents.bundle.golden import Golden

START_SECONDS = 120


class MLflowEndpoints:
    """The models that `mlflow models serve` serves for a stack."""

    flavor = "mlflow"
    on_this_machine = True

    def __init__(self, component: Component) -> None:
        self._component = component

    def names(self) -> list[str]:
        """Models that ZenML's store has a service of."""
        return sorted({str(service.config.model_name) for service in _services(self._component.deployer())})

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint of a model, also of one that was never deployed."""
        return MLflowEndpoint(name, self._component)


class MLflowEndpoint(OneVersionEndpoint):
    """One model. What serves it is looked up in ZenML's store, but for a prediction, which must be quick."""

    server = "ZenML's mlflow deployer"

    def __init__(self, name: str, component: Component) -> None:
        super().__init__(name, component)
        self._service: MLFlowDeploymentService | None = None  # as it was looked up last

    def deploy(self, bundle: BundleReference, golden: Golden) -> ServedVersion:
        """Start a server for the version; one that has not given the golden answers goes again."""
        deployer, config = self._component.deployer(), _config(bundle)
        before = self._services(deployer)
        with explained():
            try:
                new = deployer.deploy_model(
                    config, _service_type(), continuous_deployment_mode=True, timeout=START_SECONDS
                )
                new = cast("MLFlowDeploymentService", new)
                golden.check(_predict(new, golden.features), f"The server at {new.prediction_url}")
            except BaseException:
                _take_back(deployer, str(config.pipeline_step_name))
                raise
        for old in before:
            deployer.delete_model_server(old.uuid, force=True)
        self._service = new
        return _served_version(new)

    def versions(self) -> tuple[ServedVersion, ...]:
        """Return the version that was deployed last; before a switch is over another one serves, too."""
        service = self._newest()
        return (_served_version(service),) if service else ()

    def state(self) -> EndpointState:
        """Whether its server answers."""
        service = self._newest()
        if service is None:
            return EndpointState(State.stopped, reason="nothing is deployed")
        served = _served_version(service)
        url = service.prediction_url if served.state == State.healthy else None
        return EndpointState(served.state, url, served.reason)

    def predict(self, frame: pd.DataFrame, role: Role = CHAMPION) -> npt.NDArray[np.float64]:
        """P(severe) of each row, asked over MLflow's /invocations."""
        self._require_champion(role)
        service = self._service or self._newest()
        if service is None:
            raise DeploymentError(f"{self.name} is not served: nothing is deployed.")
        return _predict(service, frame)

    def predictor(self, role: Role = CHAMPION) -> Predictor:
        """Return `predict`: what it looks up is on this machine."""
        return partial(self.predict, role=role)

    def v2_address(self) -> None:
        """None: MLflow's server speaks another protocol."""
        return None

    def stop(self) -> None:
        """End its servers."""
        deployer = self._component.deployer()
        with explained():
            for service in self._services(deployer):
                deployer.stop_model_server(service.uuid)

    def _newest(self) -> MLFlowDeploymentService | None:
        self._service = next(iter(self._services(self._component.deployer())), None)
        return self._service

    def _services(self, deployer: BaseModelDeployer) -> list[MLFlowDeploymentService]:
        return [service for service in _services(deployer) if service.config.model_name == self.name]


def _services(deployer: BaseModelDeployer) -> list[MLFlowDeploymentService]:
    """Newest first."""
    # Without a type ZenML returns the servers of other deployers, too.
    services = deployer.find_model_server(service_type=_service_type())
    here = services_here(services, cast("MLFlowModelDeployer", deployer).local_path)
    return [cast("MLFlowDeploymentService", service) for service in here]


def _take_back(deployer: BaseModelDeployer, step: str) -> None:
    """End and forget what was started for a deployment; ZenML's store may not know it yet."""
    from zenml.services.local.local_service import SERVICE_DAEMON_CONFIG_FILE_NAME

    for service in _services(deployer):
        if service.config.pipeline_step_name == step:
            deployer.delete_model_server(service.uuid, force=True)
    folder = Path(cast("MLFlowModelDeployer", deployer).local_path)
    for file in folder.glob(f"*/{SERVICE_DAEMON_CONFIG_FILE_NAME}"):
        if step in file.read_text(encoding="utf-8"):
            end(*started_with(file))
            rmtree(file.parent)


def _service_type() -> ServiceType:
    from zenml.integrations.mlflow.services.mlflow_deployment import MLFlowDeploymentService

    return MLFlowDeploymentService.SERVICE_TYPE


def _config(bundle: BundleReference) -> MLFlowDeploymentConfig:
    """MLflow serves what its registry holds, not the bundle itself."""
    from zenml.client import Client
    from zenml.integrations.mlflow.services.mlflow_deployment import MLFlowDeploymentConfig

    registry, number = Client().active_stack.model_registry, bundle.registry_version
    if registry is None or number is None:
        raise DeploymentError(f"Version {bundle.version} of {bundle.name} is not in MLflow's model registry.")
    return MLFlowDeploymentConfig(
        name=bundle.name,
        model_name=bundle.name,
        model_version=bundle.version,
        registry_model_name=bundle.name,
        registry_model_version=number,
        model_uri=registry.get_model_version(bundle.name, number).model_source_uri,
        # Nothing else has this name, so ZenML takes no running server for this one, nor deletes it first.
        pipeline_step_name=f"deploy-{uuid4().hex}",
    )


def _predict(service: MLFlowDeploymentService, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    import numpy as np

    try:
        # ZenML writes JSON, which has no NaN.
        answer = service.predict(frame.astype(object).where(frame.notna(), None))
    except Exception as error:  # whatever its client raises
        raise DeploymentError(f"The server at {service.prediction_url} does not answer: {error}") from error
    return np.asarray(answer, dtype=np.float64).reshape(-1)


def _served_version(service: MLFlowDeploymentService) -> ServedVersion:
    from zenml.enums import ServiceState

    state, reason = State.healthy, ""
    if not service.is_running:
        wanted = service.admin_state == ServiceState.ACTIVE
        state = State.failing if wanted else State.stopped
        reason = service.status.last_error or ("its server has ended" if wanted else "stopped")
    version, name = str(service.config.model_version), str(service.config.model_name)
    return ServedVersion(version, None, CHAMPION, 100, state, name, reason)
