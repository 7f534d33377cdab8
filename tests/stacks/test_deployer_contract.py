"""ZenML's own MLflow deployer serves the same registered model as ours, with no change of code."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from accidents.files import ROOT
from stacks.apply import apply_stack
from stacks.definition import read_stack
from steps.support.tracking import SERVED_WITH
from tests.model_servers import NAME, Version, copy_code, end, make_version, settings
from tests.stacks.conftest import write_stack

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return make_version(tmp_path_factory.mktemp("version"), seed=3)


@pytest.fixture(scope="module")
def registered(zenml_store: Path, version: Version, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the stack's registry has the model: logged as steps/support/tracking.py logs it."""
    import mlflow
    from zenml.client import Client

    apply_stack("local-mlflow")
    Client().active_stack.experiment_tracker.configure_mlflow()  # type: ignore[union-attr]
    example = version.rows[version.bundle.features].head(3).astype(float)
    # Without an experiment of its own MLflow would keep the files in ./mlruns.
    files = tmp_path_factory.mktemp("mlflow").as_uri()
    with mlflow.start_run(experiment_id=mlflow.create_experiment("contract", artifact_location=files)):
        model = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(ROOT / "serving" / "runtime" / "mlflow_model.py"),
            artifacts={"bundle": str(version.bundle.folder)},
            code_paths=[str(ROOT / "accidents")],
            signature=mlflow.models.infer_signature(
                example, version.bundle.predict(example.to_numpy("float32"))
            ),
            pip_requirements=list(SERVED_WITH),
            registered_model_name=NAME,
        )
    return str(model.model_uri)


@pytest.fixture
def by_mlflow(registered: str) -> Iterator[object]:
    """ZenML's MLflow service of the model, ended with all its children."""
    from zenml.client import Client
    from zenml.integrations.mlflow.services.mlflow_deployment import (
        MLFlowDeploymentConfig,
        MLFlowDeploymentService,
    )

    deployer = Client().active_stack.model_deployer
    assert deployer is not None
    assert deployer.flavor == "mlflow"
    config = MLFlowDeploymentConfig(name=NAME, model_name=NAME, model_uri=registered, workers=1)
    service = deployer.deploy_model(
        config, MLFlowDeploymentService.SERVICE_TYPE, continuous_deployment_mode=True, timeout=90
    )
    assert isinstance(service, MLFlowDeploymentService)
    process = service.status.pid
    assert service.is_running, "\n".join(service.get_logs(tail=30))
    yield service
    deployer.delete_model_server(service.uuid, force=True)
    if process is not None:  # `mlflow models serve` leaves its children
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)


def test_both_deployers_give_the_bundles_probabilities(
    by_mlflow: object, version: Version, tmp_path: Path
) -> None:
    from zenml.client import Client

    from stacks.components.mlserver.deployer import MLServerDeployer

    rows = version.rows[version.bundle.features].head(200)
    expected = version.bundle.predict(rows.to_numpy(np.float32))
    # NaN is no JSON: whoever asks MLflow sends null, as the bundle's signature allows.
    nullable = rows.astype(object).where(rows.notna(), None)
    from_mlflow = np.asarray(by_mlflow.predict(nullable), dtype=float)  # type: ignore[attr-defined]

    config = settings(tmp_path / "server", copy_code(tmp_path / "code")).model_dump(mode="json")
    folder = write_stack(tmp_path, "ours", model_deployer={"flavor": "mlserver", "config": config})
    apply_stack("ours", folder=folder)
    deployer = Client().active_stack.model_deployer
    assert isinstance(deployer, MLServerDeployer)
    deployment = deployer.deployment(
        model_name=NAME, model_version="1", bundle=version.bundle.folder, golden=version.golden
    )
    try:
        from_ours = deployer.deploy_model(deployment, deployer.SERVICE_TYPE).predict(rows)
    finally:
        end(deployer.server)
    np.testing.assert_allclose(from_mlflow, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(from_ours, expected, rtol=0, atol=1e-6)


def test_local_mlflow_is_local_but_for_the_deployer() -> None:
    ours, theirs = read_stack("local"), read_stack("local-mlflow")
    assert (ours.components["model_deployer"].flavor, theirs.components["model_deployer"].flavor) == (
        "mlserver",
        "mlflow",
    )
    for kind in ours.components.keys() - {"model_deployer"}:
        assert ours.component_name(kind) == theirs.component_name(kind)
        assert ours.components[kind].config == theirs.components[kind].config
