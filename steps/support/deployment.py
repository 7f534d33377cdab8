"""Deploying a version through whichever model deployer the active stack has.

Our `mlserver` deployer proves a candidate beside the champion and switches over itself. A deployer of ZenML's
own starts a server for each version: the new one is proved, then the old one goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import numpy as np

from accidents.bundle.golden import Golden
from accidents.errors import AccidentsError
from steps.support import mirror, registry

if TYPE_CHECKING:
    from zenml.model_deployers import BaseModelDeployer
    from zenml.models import ModelVersionResponse

START_SECONDS = 120


class DeploymentError(AccidentsError):
    """The stack cannot deploy, or the new version was refused; what served before still serves."""


def find_deployer() -> BaseModelDeployer | None:
    """The active stack's model deployer alone: to make its other components would import all they wrap."""
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.model_deployers import BaseModelDeployer
    from zenml.stack import StackComponent

    found = Client().active_stack_model.components.get(StackComponentType.MODEL_DEPLOYER)
    return cast(BaseModelDeployer, StackComponent.from_model(found[0])) if found else None


def active_deployer() -> BaseModelDeployer:
    """The active stack's model deployer. Raises DeploymentError if it has none."""
    from zenml.client import Client

    deployer = find_deployer()
    if deployer is None:
        raise DeploymentError(
            f"Stack {Client().active_stack_model.name} has no model deployer. "
            "Add one to its file in stacks/, or choose a stack that has one: --stack local."
        )
    return deployer


def services(deployer: BaseModelDeployer, name: str | None = None) -> list[Any]:
    """What the deployer serves or should serve, newest first; only the model `name` if it is given."""
    # ZenML's own deployers return others' servers too, unless they are told a type; ours know their own.
    found = deployer.find_model_server(service_type=_mlflow_type() if deployer.flavor == "mlflow" else None)
    return [one for one in found if name is None or one.config.model_name == name]


def deploy(deployer: BaseModelDeployer, one: ModelVersionResponse, bundle: Path, golden: Path) -> Any:
    """Have the deployer serve a version; return ZenML's service. Raises DeploymentError with the reason.

    Parameters
    ----------
    bundle : the version's bundle, a folder. golden : file of golden requests, see accidents.bundle.golden.
    """
    try:
        way = _WAYS[str(deployer.flavor)]
    except KeyError:
        raise DeploymentError(
            f"steps/support/deployment.py does not know how to deploy with flavor {deployer.flavor!r}; "
            f"it knows {', '.join(_WAYS)}."
        ) from None
    try:
        return way(deployer, one, bundle, golden)
    except RuntimeError as error:  # what ZenML's deployers raise
        raise DeploymentError(str(error)) from error


def check_golden(service: Any, golden: Golden) -> float:
    """Ask a service for the golden rows; return the largest difference.

    Raises BundleError if it is too large, DeploymentError if the service does not answer.
    """
    features = golden.features
    try:
        # ZenML's MLflow service writes JSON, which has no NaN.
        answer = service.predict(features.astype(object).where(features.notna(), None))
    except Exception as error:  # each deployer has its own
        raise DeploymentError(f"The server at {service.prediction_url} does not answer: {error}") from error
    served = np.asarray(answer, dtype=np.float64).reshape(-1)
    return golden.check(served, f"The server at {service.prediction_url}")


def _with_mlserver(deployer: Any, one: ModelVersionResponse, bundle: Path, golden: Path) -> Any:
    config = deployer.deployment(
        model_name=one.model.name,
        model_version=str(one.number),
        bundle=bundle,
        golden=golden,
        digest=registry.digest_of(one),
    )
    return deployer.deploy_model(config)


def _with_mlflow(deployer: Any, one: ModelVersionResponse, bundle: Path, golden: Path) -> Any:
    from zenml.integrations.mlflow.services.mlflow_deployment import MLFlowDeploymentConfig

    from accidents.bundle import load_bundle
    from accidents.bundle.golden import golden_of

    model_registry, number = mirror.active_registry(), mirror.registry_version(one)
    if model_registry is None or number is None:
        raise DeploymentError(f"Version {one.number} of {one.model.name} is not in MLflow's model registry.")
    source = model_registry.get_model_version(one.model.name, number).model_source_uri
    config = MLFlowDeploymentConfig(
        name=one.model.name,
        model_name=one.model.name,
        model_version=str(one.number),
        registry_model_name=one.model.name,
        registry_model_version=number,
        model_uri=source,
        # Nothing else has this name, so ZenML takes no running server for this one, nor deletes it first.
        pipeline_step_name=f"deploy-{uuid4().hex}",
    )
    before = services(deployer, one.model.name)
    new = deployer.deploy_model(
        config, _mlflow_type(), continuous_deployment_mode=True, timeout=START_SECONDS
    )
    try:
        check_golden(new, golden_of(load_bundle(bundle)))
    except Exception:
        deployer.delete_model_server(new.uuid, force=True)
        raise
    for old in before:
        deployer.delete_model_server(old.uuid, force=True)
    return new


_WAYS: Mapping[str, Callable[[Any, Any, Path, Path], Any]] = {
    "mlserver": _with_mlserver,
    "mlflow": _with_mlflow,
}


def _mlflow_type() -> Any:
    from zenml.integrations.mlflow.services.mlflow_deployment import MLFlowDeploymentService

    return MLFlowDeploymentService.SERVICE_TYPE


def facts_of(service: Any) -> dict[str, Any]:
    """What a person and run.py want to know of a service, JSON-ready."""
    return {
        "service": service.config.service_name,
        "name": service.config.model_name,
        "version": service.config.model_version,
        "flavor": service.SERVICE_TYPE.flavor,
        "url": service.prediction_url,
        "state": service.status.state.value,
        "said": service.status.last_error,
    }
