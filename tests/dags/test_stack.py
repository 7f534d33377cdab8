"""Stack `airflow`: a real Airflow runs the steps, and the model is the one that every stack makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from stacks.processes import end
from tests.dags.airflow_home import PYTHON
from tests.pipelines.conftest import Project
from tests.processes import free_port, kill_all_of
from tests.servers.conftest import tiny_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(PYTHON is None, reason="Airflow's environment is not here: make dags"),
]
ON = ("--stack", "airflow")
CHAMPION = """
import json
from stacks.apply import use_stack
use_stack(STACK)
from steps.support.champion_and_versions import champion, model_name
print(json.dumps(champion(model_name("dispatch")).run_metadata))
"""


@contextmanager
def airflow(project: Project) -> Iterator[subprocess.Popen[bytes]]:
    """`make airflow` in a project's folder; its commands know where it is."""
    port = str(free_port())
    project.environment["ACCIDENTS_AIRFLOW"] = f"http://127.0.0.1:{port}"
    log = project.folder / "airflow.log"
    with log.open("wb") as file:
        started = subprocess.Popen(
            [sys.executable, "-m", "commands.airflow"], cwd=project.folder, stdout=file, stderr=file,
            env={**os.environ, **project.environment, "AIRFLOW__API__PORT": port},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while "Log in" not in log.read_text(encoding="utf-8"):
            assert started.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.5)
        yield started
    finally:
        end(psutil.Process(started.pid))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = tiny_project(tmp_path_factory.mktemp("airflow") / "a project")
    made.timeout = 1200  # each step is the start of a task and of a process
    yield made
    kill_all_of(made.folder)


def test_without_airflow_it_is_told_before_anything_begins(project: Project) -> None:
    project.environment["ACCIDENTS_AIRFLOW"] = f"http://127.0.0.1:{free_port()}"
    done = project("--pipeline", "train", *ON, check=False)
    assert done.returncode == 1
    assert "No Airflow answers at http://127.0.0.1:" in done.stderr
    assert "make airflow" in done.stderr


def test_it_makes_the_same_model(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    bare = tiny_project(tmp_path_factory.mktemp("bare") / "a project")
    bare("--pipeline", "train", "--stack", "bare")
    with airflow(project):
        project("--pipeline", "train", *ON)
        assert "is at work" in project("stack", "check", "airflow").stdout
    assert champion(project, "airflow") == champion(bare, "bare")


def champion(project: Project, stack: str) -> dict[str, object]:
    """What the champion is made of, and what it came to."""
    metadata = json.loads(project.python(f"STACK = {stack!r}\n{CHAMPION}").splitlines()[-1])
    return {name: metadata[name] for name in ("identity", "data_version", "bundle", "metrics")}
