"""Stack `docker`: steps and MLServer in containers of our images make what stack `bare` makes."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from accidents.bundle import load_bundle
from accidents.predictions.prediction_log import PredictionLog
from tests import postgres
from tests.containers.conftest import TAG
from tests.containers.engine import docker, every_container_looked_at, inspect
from tests.monitor_traffic import log_predictions
from tests.pipelines.conftest import Project
from tests.platform_parts import PASSWORD, running_mlflow
from tests.processes import kill_all_of
from tests.servers.conftest import interrupted, tiny_project
from tests.servers.matrix import Found, found_on, found_on_bare
from tests.socket_relay import SocketRelay, running_socket_relay

pytestmark = [
    pytest.mark.containers,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif("PLATFORM_TESTS" not in os.environ, reason="takes minutes: make platform"),
]

ON = ("--stack", "docker")
IMAGE = f"    config: {{image: road-accidents/pipelines:{TAG}}}\n   "  # what follows there is a comment
TRAIN = ("--pipeline", "train", "--no-cache")
ANY_PORT = "\n      ".join(("http_port: 0", "grpc_port: 0", "metrics_port: 0", "folder: "))
# What the store has of the last run of each pipeline, and of the champion.
TOLD = """
import json
from stacks.apply import use_stack
use_stack("docker")
from zenml.client import Client
from steps.support import champion_and_versions
runs = {one.pipeline.name: one for one in reversed(Client().list_pipeline_runs(hydrate=True).items)}
champion = champion_and_versions.champion(champion_and_versions.model_name("dispatch"))
print(json.dumps({
    "runs": {name: dict(one.run_metadata["code"]) for name, one in runs.items()},
    "version": {name: champion.run_metadata[name] for name in ("git_commit", "image")},
}))
"""


# Of the other stage's model, of which nothing is trained but what fails.
NUMBERS = """
from stacks.apply import use_stack
use_stack("docker")
from steps.support import champion_and_versions
print([one.number for one in champion_and_versions.versions(champion_and_versions.model_name("on_scene"))])
"""
UNFINISHED = """
from stacks.apply import use_stack
use_stack("docker")
from zenml.client import Client
runs = Client().list_pipeline_runs(sort_by="desc:created", size=1, hydrate=True).items
print([one.name for one in (*runs, *runs[0].steps.values()) if not one.status.is_finished])
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
    return found_on("docker", project)


@pytest.mark.matrix
def test_the_same_commands_give_the_same_model_as_on_stack_bare(
    found: Found, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found.assert_same_as(found_on_bare(tmp_path_factory))


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


def test_no_container_of_a_step_is_left(found: Found, project: Project) -> None:
    assert containers_of_steps(project, "--all") == ""


def test_the_check_asks_the_engine_and_the_servers(found: Found, project: Project) -> None:
    said = project("stack", "check", *ON[1:]).stdout
    assert said.count("the container engine answers, and has the image sha256:") == 2  # steps, model server
    assert "logged and deleted a run at http" in said
    with changed(stack_file(project), f"model-server:{TAG}", "model-server:nobody-made-it"):
        project("stack", "apply", *ON[1:])
        told = project("stack", "check", *ON[1:], check=False).stdout
    project("stack", "apply", *ON[1:])
    assert "There is no image road-accidents/model-server:nobody-made-it" in told


def test_steps_read_the_log_in_postgresql_and_the_engine_is_told_no_secret(
    found: Found, project: Project, tmp_path: Path
) -> None:
    bundle = load_bundle(next((project.folder / ".serving").rglob("bundle.json")).parent)
    with postgres.running_postgres() as server:
        address = server.new_database().replace("postgresql:", "postgresql+psycopg:")
        project.environment["ACCIDENTS_DATABASE_URL"] = address
        try:
            project("database", "upgrade", *ON)
            with closing(PredictionLog(address)) as log:
                log_predictions(tmp_path, bundle, log, 1_200, year=2022)
            with every_container_looked_at() as seen:
                said = project("--pipeline", "monitor", "--decide-only", *ON).stdout
        finally:
            del project.environment["ACCIDENTS_DATABASE_URL"]
    assert "1,200" in said
    steps = [each for each in seen.values() if str(project.folder.resolve()) in each]
    assert any('"accidents.step": "check_window"' in each for each in steps)
    assert not [secret for secret in (postgres.PASSWORD, PASSWORD) for each in steps if secret in each]
    assert list((project.folder / ".zenml" / "steps").rglob("environment.json")) == []


def stack_file(project: Project) -> Path:
    return project.folder / "stacks" / "docker.yaml"


def unfinished(project: Project) -> list[str]:
    """Of the last run, what seems to go on."""
    return list(ast.literal_eval(project.python(UNFINISHED).splitlines()[-1]))


@contextmanager
def changed(file: Path, text: str, other: str) -> Iterator[None]:
    """A file of the project that says something else for a while."""
    before = file.read_text(encoding="utf-8")
    assert text in before
    file.write_text(before.replace(text, other, 1), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")


def refused(project: Project, *words: str) -> str:
    """What `run.py` says on standard error as it refuses, or fails, in plain words."""
    done = project(*words, *ON, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert containers_of_steps(project, "--all") == ""
    return done.stderr


def containers_of_steps(project: Project, *more: str) -> str:
    of_project = f"label=accidents.project={project.folder.resolve()}"
    return docker("ps", "--quiet", "--filter", of_project, *more)


def test_a_clone_of_other_code_is_told_before_a_run_begins(found: Found, project: Project) -> None:
    module = project.folder / "steps" / "data" / "load_data.py"
    with changed(module, '"""', '# Other code.\n"""'):
        said = refused(project, *TRAIN)
    assert f"Steps run in image road-accidents/pipelines:{TAG}, made of commit" in said
    assert "make images" in said


def test_a_step_that_takes_more_memory_than_it_may_is_told_with_the_remedy(
    found: Found, project: Project
) -> None:
    with changed(stack_file(project), f"pipelines:{TAG}", f"pipelines:{TAG}, memory: 96m"):
        said = refused(project, *TRAIN)
    assert "Step load_data was ended, for it took more than the 96m of memory" in said
    assert "`memory` of the orchestrator" in said
    assert unfinished(project) == []


def test_a_step_that_finds_the_disk_full_tells_its_reason_as_on_a_laptop(
    found: Found, project: Project
) -> None:
    place = project.folder / ".zenml" / "steps" / "tmp"
    place.mkdir(parents=True, exist_ok=True)
    mounted = ("mount", "-t", "tmpfs", "-o", f"size=64k,uid={os.getuid()}", "tmpfs", str(place))
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("only who may mount can make a small disk")
    try:
        said = refused(project, *TRAIN)
    finally:
        subprocess.run(("umount", str(place)), check=True)
    assert "The disk is full. Make room" in said


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_broken_off_leaves_no_container(
    found: Found, project: Project, told: signal.Signals
) -> None:
    process = project.start(*TRAIN, *ON)
    assert process.stdout
    assert any("load data" in line for line in process.stdout)
    while not containers_of_steps(project):
        assert process.poll() is None
    os.kill(process.pid, told)
    process.communicate(120)  # until it has ended
    assert process.wait(60) != 0
    assert containers_of_steps(project, "--all") == ""
    assert unfinished(project) == []
    assert json.loads(project.python(TOLD).splitlines()[-1])["runs"]["train"]["image"].startswith("sha256:")


def test_no_image_and_no_engine_are_told_in_a_sentence(found: Found, project: Project) -> None:
    with changed(stack_file(project), f"pipelines:{TAG}", "pipelines:nobody-made-it"):
        assert "There is no image road-accidents/pipelines:nobody-made-it" in refused(project, *TRAIN)
    project.environment["DOCKER_HOST"] = "unix:///nowhere.sock"
    try:
        assert "The container engine does not answer. Start it" in refused(project, *TRAIN)
    finally:
        del project.environment["DOCKER_HOST"]


def test_an_engine_that_goes_in_the_middle_of_a_step_is_told_and_nothing_is_registered(
    found: Found, project: Project
) -> None:
    """For this run alone: the machine's engine has other work."""

    def gone(relay: SocketRelay) -> None:
        relay.gone()
        docker("rm", "--force", *containers_of_steps(project).split())  # which would end with it

    with running_socket_relay(Path("/var/run/docker.sock")) as relay:
        project.environment["DOCKER_HOST"] = f"unix://{relay.path}"
        try:
            command = "--pipeline train --stage on_scene --stack docker"
            code, said = interrupted(project, command, "train model", lambda: gone(relay))
        finally:
            del project.environment["DOCKER_HOST"]
    assert code == 1
    assert "The container engine does not answer. Start it" in said
    assert "Traceback" not in said
    assert unfinished(project) == []
    assert project.python(NUMBERS).splitlines()[-1] == "[]"


def test_status_tells_what_still_serves_on_the_stack_before(found: Found, project: Project) -> None:
    """Last: it leaves another stack active."""
    project("--pipeline", "deploy", *ON)
    project("--pipeline", "deploy", "--stack", "local")
    try:
        here, there = (project("status", "--stack", name).stdout for name in ("local", "docker"))
    finally:
        project("stop", "--stack", "local")
    for said, other in ((here, "docker"), (there, "local")):
        assert "healthy" in said
        assert f"stack {other} still serves accident-severity-dispatch version 1 at http://127.0.0.1:" in said
        assert f"run.py stop --stack {other} ends it" in said
        assert "none of them: no API runs in the background" in said
