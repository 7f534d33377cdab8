"""MLflow's store is gone: ZenML's is the truth, and the next training makes up for what MLflow lacks."""

import json

import pytest

from tests.pipelines.conftest import Project

pytestmark = pytest.mark.slow

CHAMPION = """
import json
from zenml.client import Client
stack = Client().active_stack
stack.experiment_tracker.configure_mlflow()
from mlflow import MlflowClient
held = MlflowClient().get_model_version_by_alias("accident-severity-dispatch", "champion")
version = Client().get_model_version("accident-severity-dispatch", "production")
print(json.dumps([held.tags["bundle"], version.run_metadata["bundle"]]))
"""


def test_training_again_makes_up_for_a_registry_that_was_lost(trained: Project) -> None:
    (trained.folder / ".zenml" / "artifacts" / "mlflow.db").unlink()
    again = trained("--pipeline", "train").stdout
    assert "nothing was registered" in " ".join(again.split())
    mirrored, registered = json.loads(trained.python(CHAMPION).strip().splitlines()[-1])
    assert mirrored == registered
