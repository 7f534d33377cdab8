"""A real Airflow at work: the steps of stack `airflow`, a back-fill, and what announced years start."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from stacks.processes import end
from tests.dags.airflow_home import PYTHON, Airflow
from tests.pipelines.conftest import Project
from tests.processes import free_port, kill_all_of
from tests.servers.conftest import tiny_project
from tests.servers.matrix import found_on, found_on_bare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(PYTHON is None, reason="Airflow's environment is not here: make dags"),
]
ON = ("--stack", "airflow")
# A secret that a run hands on to its steps as it does a server's token: the key of ZenML's own store.
CANARY = "canary-5be07f31"
PLANTED = {"ZENML_SECRETS_STORE_TYPE": "sql", "ZENML_SECRETS_STORE_ENCRYPTION_KEY": CANARY}


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


@pytest.fixture(scope="module")
def at_work(project: Project) -> Iterator[Airflow]:
    """Airflow of the project, with its scheduler."""
    home = Airflow(project)
    with airflow(project):
        yield home


def test_without_airflow_it_is_told_before_anything_begins(project: Project) -> None:
    project.environment["ACCIDENTS_AIRFLOW"] = f"http://127.0.0.1:{free_port()}"
    done = project("--pipeline", "train", *ON, check=False)
    assert done.returncode == 1
    assert "No Airflow answers at http://127.0.0.1:" in done.stderr
    assert "make airflow" in done.stderr


@pytest.mark.usefixtures("at_work")
def test_it_makes_the_same_model_and_the_same_predictions(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project.environment |= PLANTED
    try:
        found = found_on("airflow", project)
    finally:
        for name in PLANTED:
            del project.environment[name]
    assert "is at work" in project("stack", "check", "airflow").stdout
    found.assert_same_as(found_on_bare(tmp_path_factory))


def test_airflow_wrote_down_no_secret_that_the_run_handed_on(project: Project, at_work: Airflow) -> None:
    """Neither in its database nor in a log or DAG; the file that had it went at the run's end."""
    (dag,) = at_work.rows("SELECT data FROM serialized_dag WHERE dag_id LIKE 'train%'")
    assert "ZENML_AIRFLOW_ENVIRONMENTS" in str(dag), "it keeps what a task is given elsewhere, not looked at"
    wait_for(lambda: not kept(project), at_work, seconds=60)
    own = project.folder / ".zenml" / "config.yaml"  # where ZenML itself keeps this key
    files = [path for path in project.folder.rglob("*")
             if path.is_file() and ".venv" not in path.parts and path != own]  # fmt: skip
    assert at_work.home / "airflow.db" in files
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_the_scheduler_does_the_due_run_a_back_fill_and_what_both_announce(at_work: Airflow) -> None:
    """The champion of the test before has learnt from 2021 and 2022: looking at them leads to nothing."""
    for dag in ("accidents_yearly", "accidents_new_year"):
        at_work("dags", "unpause", dag)
    wait_for(lambda: ended(at_work, "accidents_yearly") == {2025: "success"}, at_work)
    back_fill(at_work)
    all_three = {2025: "success", 2022: "success", 2023: "success"}
    wait_for(lambda: ended(at_work, "accidents_yearly") == all_three, at_work)
    assert announced(at_work) == [2021, 2022, 2024]
    wait_for(lambda: looked_at(at_work) == {2024, 2021, 2022}, at_work)
    wait_for(lambda: set(states(at_work, "accidents_new_year")) == {"success"}, at_work)

    back_fill(at_work)  # of dates that have been run for: no run is made
    assert (ended(at_work, "accidents_yearly"), announced(at_work)) == (all_three, [2021, 2022, 2024])


def kept(project: Project) -> list[str]:
    """Runs whose steps may still ask for what is theirs."""
    return [path.stem for path in (project.folder / ".zenml" / "airflow").glob("*")]


def back_fill(airflow: Airflow) -> None:
    """Ask for two dates; again where Airflow's SQLite was locked, as while the scheduler begins a run."""
    before, said = airflow.rows("SELECT id FROM backfill"), ""
    for _ in range(5):
        said = airflow("backfill", "create", "--dag-id", "accidents_yearly",
                       "--from-date", "2022-12-01", "--to-date", "2023-12-02")  # fmt: skip
        if airflow.rows("SELECT id FROM backfill") != before:
            return
        time.sleep(5)
    pytest.fail(said)


def ended(airflow: Airflow, dag: str) -> dict[int, str]:
    """How the runs of a DAG ended, by the year of their date."""
    runs = airflow.rows("SELECT logical_date, state FROM dag_run WHERE dag_id = ?", dag)
    return {int(date[:4]): state for date, state in runs}


def states(airflow: Airflow, dag: str) -> list[str]:
    """How the runs of a DAG are, or have ended."""
    return [state for (state,) in airflow.rows("SELECT state FROM dag_run WHERE dag_id = ?", dag)]


def announced(airflow: Airflow) -> list[int]:
    """The years that were announced; runs of a back-fill may be at work at once, in any order."""
    rows = airflow.rows("SELECT extra FROM asset_event")
    return sorted(int(json.loads(extra)["years"]) for (extra,) in rows)


def looked_at(airflow: Airflow) -> set[int]:
    """The years of which a log says that the champion was held against them."""
    logs = (airflow.home / "logs").glob("dag_id=accidents_new_year/*/task_id=look/*.log")
    return {
        int(year) for log in logs for year in re.findall(r"--input (\d{4})", log.read_text(encoding="utf-8"))
    }


def wait_for(true: Callable[[], bool], airflow: Airflow, seconds: float = 600) -> None:
    """Wait for the scheduler, which does things in its own time."""
    deadline = time.monotonic() + seconds
    while not true():
        tasks = airflow.rows("SELECT dag_id, run_id, task_id, state FROM task_instance")
        assert time.monotonic() < deadline, tasks
        time.sleep(1)
