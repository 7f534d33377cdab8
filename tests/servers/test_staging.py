"""One project on stack `staging`, in order: servers that fail in the middle of a command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

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
    made.environment |= platform.environment | {
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


def test_s3_that_goes_in_the_middle_of_a_step_is_told_and_nothing_is_registered(
    project: Project, platform: Platform
) -> None:
    code, said = interrupted(project, TRAIN, "train model", platform.s3.stop)
    platform.s3.start()
    assert code == 1
    assert "It came from the artifact store. Nothing answers there. Start the server" in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING


@pytest.mark.parametrize("done_all_the_same", [False, True])
def test_mlflow_that_fails_as_a_version_is_registered_leaves_none_of_it(
    project: Project, platform: Platform, done_all_the_same: bool
) -> None:
    platform.relay.failed.clear()
    platform.relay.failing, platform.relay.after = "/model-versions/create", done_all_the_same
    try:
        code, said = typed(project, TRAIN, check=False)
    finally:
        platform.relay.failing = ""
    assert code == 1
    assert platform.relay.failed
    assert "It came from the MLflow server. The server fails at what it is asked." in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING
