"""Stack `docker`: steps and MLServer in containers of our images make what stack `bare` makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.containers.conftest import TAG
from tests.containers.engine import docker, inspect
from tests.pipelines.conftest import Project
from tests.platform_parts import PASSWORD, running_mlflow
from tests.processes import kill_all_of
from tests.servers.conftest import tiny_project
from tests.servers.test_matrix import Found, run_all

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1800)]

ON = ("--stack", "docker")
IMAGE = f"    config: {{image: road-accidents/pipelines:{TAG}}}\n   "  # what follows there is a comment
ANY_PORT = "\n      ".join(("http_port: 0", "grpc_port: 0", "metrics_port: 0", "folder: "))
# What the store has of the last run of each pipeline, and of the champion.
TOLD = """
import json
from stacks.apply import use_stack
use_stack("docker")
from zenml.client import Client
from steps.support import registry
runs = {one.pipeline.name: one for one in reversed(Client().list_pipeline_runs(hydrate=True).items)}
champion = registry.champion(registry.model_name("dispatch"))
print(json.dumps({
    "runs": {name: dict(one.run_metadata["code"]) for name, one in runs.items()},
    "version": {name: champion.run_metadata[name] for name in ("git_commit", "image")},
}))
"""


@pytest.fixture(scope="module")
def project(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A laptop beside an MLflow server."""
    folder = tmp_path_factory.mktemp("docker")
    with running_mlflow(folder / "mlflow", f"sqlite:///{folder}/mlflow.db", None, "files") as mlflow:
        made = tiny_project(folder / "a project")
        made.environment |= {"MLFLOW_SERVER": mlflow.url, "MLFLOW_PASSWORD": PASSWORD}
        stack = made.folder / "stacks" / "docker.yaml"
        text = stack.read_text(encoding="utf-8")
        text = text.replace("flavor: local_image", f"flavor: local_image\n{IMAGE}")
        stack.write_text(text.replace("{version}", TAG).replace("folder: ", ANY_PORT), encoding="utf-8")
        yield made
        made("stop", *ON, check=False)
        kill_all_of(made.folder)


@pytest.fixture(scope="module")
def found(project: Project) -> Found:
    """What the four pipelines gave."""
    made = run_all(project, "docker")
    print(made.seconds)
    return made


def test_the_same_commands_give_the_same_model_as_on_stack_bare(
    found: Found, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bare = run_all(tiny_project(tmp_path_factory.mktemp("bare") / "a project"), "bare")
    assert found.digest == bare.digest
    assert found.metrics == bare.metrics
    np.testing.assert_allclose(found.answers, bare.answers, rtol=0, atol=1e-6)


def test_every_run_and_version_tells_its_image_and_commit(
    found: Found, project: Project, images: dict[str, str]
) -> None:
    told = json.loads(project.python(TOLD).splitlines()[-1])
    image = inspect("image", images["pipelines"])
    made_of = {
        "git_commit": image["Config"]["Labels"]["org.opencontainers.image.revision"],
        "image": image["Id"],
    }
    assert told["version"] == made_of
    for name in ("train", "inference", "monitor"):
        assert told["runs"][name] == made_of
    assert told["runs"]["deploy"]["image"] == "no image"  # it steers what serves on this machine


def test_no_container_of_a_step_is_left(found: Found) -> None:
    assert docker("ps", "--all", "--quiet", "--filter", "label=accidents.run") == ""


def test_the_check_asks_the_engine_and_the_servers(found: Found, project: Project) -> None:
    said = project("stack", "check", *ON[1:]).stdout
    assert "the container engine answers, and has the image sha256:" in said
    assert "logged and deleted a run at http" in said


def test_a_clone_of_other_code_is_told_before_a_run_begins(found: Found, project: Project) -> None:
    module = project.folder / "steps" / "data" / "load_data.py"
    before = module.read_text(encoding="utf-8")
    module.write_text(f"{before}\n# Other code.\n", encoding="utf-8")
    try:
        refused = project("--pipeline", "train", *ON, check=False)
    finally:
        module.write_text(before, encoding="utf-8")
    assert refused.returncode == 1
    assert f"Steps run in image road-accidents/pipelines:{TAG}, made of commit" in refused.stderr
    assert "make images" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_step_that_fails_tells_its_reason_as_on_a_laptop(
    found: Found, project: Project, tmp_path: Path
) -> None:
    broken = tmp_path / "accidents.csv"
    broken.write_text("time,department\n2026-11-22T18:30,75\n", encoding="utf-8")
    done = project("--pipeline", "inference", "--input", str(broken), *ON)
    assert "1" in done.stdout


def test_no_image_and_no_engine_are_told_in_a_sentence(found: Found, project: Project) -> None:
    stack = project.folder / "stacks" / "docker.yaml"
    before = stack.read_text(encoding="utf-8")
    stack.write_text(before.replace(f"pipelines:{TAG}", "pipelines:nobody-made-it"), encoding="utf-8")
    try:
        missing = project("--pipeline", "train", *ON, check=False)
    finally:
        stack.write_text(before, encoding="utf-8")
    assert "There is no image road-accidents/pipelines:nobody-made-it" in missing.stderr
    project.environment["DOCKER_HOST"] = "unix:///nowhere.sock"
    try:
        silent = project("--pipeline", "train", *ON, check=False)
    finally:
        del project.environment["DOCKER_HOST"]
    assert "The container engine does not answer. Start it" in silent.stderr
    for refused in (missing, silent):
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
