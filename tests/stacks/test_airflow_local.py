"""DAGs of stack `airflow` in a folder that Airflow, and other commands, look into at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from stacks.components.airflow_local import dag, runs, step_environments
from stacks.components.airflow_local.orchestrator import AirflowLocalOrchestrator
from tests.conftest import ROOT

VALUES = SimpleNamespace(file=dag.__file__, config_file_name=dag.CONFIG_FILENAME)
CANARY = "canary-41d0c7"
SHOW = "import os; from stacks.components.airflow_local import step_environments as them; them.enter(); "


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "store"
    monkeypatch.setenv("ZENML_CONFIG_PATH", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where Airflow looks for DAGs."""
    made = tmp_path / "dags"
    made.mkdir()
    return made


def write(name: str, folder: Path, schedule: str = dag.ONCE) -> Path:
    """Write the DAG of a run, while another command writes one too."""
    made = object.__new__(AirflowLocalOrchestrator)
    task = dag.TaskConfiguration(
        id="train", upstream_steps=[], arguments=["--step"], environment={"ZENML_STORE_API_TOKEN": CANARY},
        operator_args={"python": sys.executable, "folder": str(ROOT)},
    )  # fmt: skip
    config = dag.DagConfiguration(id=name, tasks=[task], schedule=schedule, start_date=None)
    made._write_dag(config, VALUES, str(folder))  # type: ignore[arg-type]
    return made._written


def configuration(path: Path) -> dag.DagConfiguration:
    """What Airflow reads."""
    with zipfile.ZipFile(path) as archive:
        return dag.DagConfiguration.model_validate_json(archive.read(dag.CONFIG_FILENAME))


def show(
    config: dag.DagConfiguration, name: str = "ZENML_STORE_API_TOKEN"
) -> subprocess.CompletedProcess[str]:
    """What a task's process has as its token, or as another variable."""
    told = {name: value for name, value in dag.command(config, config.tasks[0])["env"].items() if value}
    words = [sys.executable, "-c", f"{SHOW}print(os.environ[{name!r}])"]
    return subprocess.run(
        words, cwd=ROOT, env={**os.environ, **told}, capture_output=True, text=True, check=False
    )


def test_each_command_knows_its_own_dag(folder: Path) -> None:
    first, second = write("first", folder), write("second", folder)
    assert [first.name, second.name] == ["first.zip", "second.zip"]
    assert sorted(path.name for path in folder.iterdir()) == ["first.zip", "second.zip"]


def test_what_is_not_ours_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = SimpleNamespace(status=SimpleNamespace(is_finished=True))
    monkeypatch.setattr(runs, "run_of", lambda _: over)
    ended, half, other = write("ended", folder), folder / "half.zip", folder / "other.zip"
    half.write_bytes(ended.read_bytes()[:100])
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("somebody.py", "")
    runs.remove_ended(folder)
    assert not ended.exists()
    assert half.exists()
    assert other.exists()


def test_a_token_is_in_no_dag_and_the_step_has_it_all_the_same(folder: Path, store: Path) -> None:
    written = write("a", folder)
    config = configuration(written)
    told = repr([config, dag.command(config, config.tasks[0])])
    assert CANARY not in told
    assert CANARY.encode() not in written.read_bytes(), "archives are not compressed"
    (kept,) = (path for path in (*store.rglob("*"), *folder.rglob("*")) if path.is_file() and path != written)
    assert str(kept) == config.environments
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert show(config).stdout == f"{CANARY}\n"


def test_a_step_finds_the_prediction_log_of_who_starts_its_run_but_one_of_a_schedule_airflows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCIDENTS_DATABASE_URL", "sqlite:///mine.db")
    once, scheduled = (configuration(write(name, folder, schedule)) for name, schedule in (
        ("once", dag.ONCE), ("scheduled", "0 3 * * 1")))  # fmt: skip
    monkeypatch.setenv("ACCIDENTS_DATABASE_URL", "sqlite:///airflows.db")
    assert show(once, "ACCIDENTS_DATABASE_URL").stdout == "sqlite:///mine.db\n"
    assert show(scheduled, "ACCIDENTS_DATABASE_URL").stdout == "sqlite:///airflows.db\n"


def test_after_its_run_a_step_is_told_why_it_cannot_run(folder: Path) -> None:
    written = write("a", folder)
    step_environments.forget(written)
    assert "goes when its run is over. Run the command again" in show(configuration(written)).stderr


def test_tokens_go_with_their_dag(folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule's as soon as a person has deleted its DAG; what another command writes just then stays."""
    monkeypatch.setattr(runs, "run_of", lambda _: None)
    going_on, scheduled, deleted = (write(name, folder, schedule) for name, schedule in (
        ("going_on", dag.ONCE), ("scheduled", "0 3 * * 1"), ("deleted", "0 3 * * 1")))  # fmt: skip
    half = write("half", folder)
    half.rename(half.with_suffix(".tmp"))
    (store / "airflow" / "torn.json").write_text('{"dag": "')
    deleted.unlink()
    runs.remove_ended(folder)
    left = sorted(path.stem for path in (store / "airflow").iterdir())
    assert left == ["going_on", "half", "scheduled", "torn"]

    over = SimpleNamespace(status=SimpleNamespace(is_finished=True))
    monkeypatch.setattr(runs, "run_of", lambda _: over)
    runs.remove_ended(folder)
    assert sorted(path.stem for path in (store / "airflow").iterdir()) == ["half", "scheduled", "torn"]
    assert scheduled.exists()
    assert not going_on.exists()
