"""One project on stack `staging`, in order: servers that fail in the middle of a command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import postgres
from tests.pipelines.conftest import Project
from tests.processes import kill_all_of
from tests.servers.conftest import Platform, interrupted, tiny_project

TRAIN = "--pipeline train --stack staging"
REGISTERED = """
import json
from stacks.apply import use_stack
use_stack("staging")
from steps.support import registry_mirror, registry
name = registry.model_name("dispatch")
client, champion = mirror.active_registry().mlflow_client, registry.champion(name)
there = [str(one.version) for one in client.search_model_versions(f"name='{name}'")]
print(json.dumps({
    "zenml": {one.number: mirror.registry_version(one) for one in registry._all(name)},
    "champion": champion and champion.number,
    "mlflow": there,
    "alias": {one: str(number) for one, number in client.get_registered_model(name).aliases.items()}
    if there else {},
}))
"""
NOTHING = {"zenml": {}, "champion": None, "mlflow": [], "alias": {}}


@pytest.fixture(scope="module")
def project(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("staging")
    made = tiny_project(folder / "a project")
    (folder / "tmp").mkdir()
    platform.settle(made)
    made.environment |= {
        "TMPDIR": str(folder / "tmp"),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # seven otherwise, which take four minutes
    }
    typed(made, "database upgrade --stack staging")
    yield made
    kill_all_of(made.folder)


def typed(project: Project, command: str, check: bool = True) -> tuple[int, str]:
    """Exit code of `run.py COMMAND`, and what it says."""
    done = project(*command.split(), check=check)
    return done.returncode, done.stdout + done.stderr


def registered(project: Project) -> Any:
    """What ZenML and MLflow have of the model."""
    return json.loads(project.python(REGISTERED).splitlines()[-1])


def test_the_stack_is_applied_once_and_each_part_of_it_is_reached(project: Project) -> None:
    typed(project, "stack apply staging")
    assert "Stack staging: nothing has changed." in typed(project, "stack apply staging")[1]
    said = typed(project, "stack check staging")[1]
    for done in ("wrote, read and deleted an object in s3://zenml", "logged and deleted a run", "0 models"):
        assert done in said
    assert "ok    prediction log: postgresql" in said


def test_a_prediction_log_that_refuses_the_login_is_told(project: Project, platform: Platform) -> None:
    address = project.environment["ACCIDENTS_DATABASE_URL"]
    project.environment["ACCIDENTS_DATABASE_URL"] = address.replace(postgres.PASSWORD, "not-the-password")
    code, said = typed(project, "stack check staging", check=False)
    platform.settle(project)
    assert code == 1
    assert "wrong prediction log: The prediction log postgresql" in said
    assert "Correct the user or password in the address." in said
    assert "not-the-password" not in said


def test_s3_that_goes_in_the_middle_of_a_step_is_told_and_nothing_is_registered(
    project: Project, platform: Platform
) -> None:
    code, said = interrupted(project, TRAIN, "train model", platform.s3.stop)
    platform.s3.start()
    assert code == 1
    assert "It came from the artifact store. Nothing answers there. Start the server" in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING


def test_a_bucket_that_is_read_only_is_told_and_nothing_is_registered(
    project: Project, platform: Platform
) -> None:
    platform.settle(project, S3_BUCKET="read-only")
    try:
        code, said = typed(project, TRAIN, check=False)
    finally:
        platform.settle(project)
    assert code == 1
    assert "It came from the artifact store. S3 denies it: this login may not, or the bucket is" in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING


@pytest.mark.parametrize("done_all_the_same", [False, True])
def test_mlflow_that_fails_as_a_version_is_registered_leaves_none_of_it(
    project: Project, platform: Platform, done_all_the_same: bool
) -> None:
    platform.relay.failing, platform.relay.after = "/model-versions/create", done_all_the_same
    code, said = typed(project, TRAIN, check=False)
    platform.relay.failing = ""
    assert code == 1
    assert platform.relay.failed
    assert "It came from the MLflow server. The server fails at what it is asked." in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING


def test_mlflow_that_fails_as_it_is_told_of_the_champion_is_told_by_the_next_training(
    project: Project, platform: Platform
) -> None:
    platform.relay.failing, platform.relay.after = "/registered-models/alias", False
    code, said = typed(project, TRAIN, check=False)
    platform.relay.failing = ""
    assert code == 1
    assert "The model registry could not be told of version 1" in said
    assert "the next `run.py promote` or training tells it again" in said
    assert registered(project)["champion"] == 1
    typed(project, TRAIN)
    found = registered(project)
    (number,) = found["mlflow"]
    assert found == {
        "zenml": {"1": number},
        "champion": 1,
        "mlflow": [number],
        "alias": {"champion": number},
    }
