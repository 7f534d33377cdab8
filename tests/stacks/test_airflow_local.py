"""DAGs of stack `airflow` in a folder that Airflow, and other commands, look into at the same time."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from stacks.components.airflow_local import dag, runs
from stacks.components.airflow_local.orchestrator import AirflowLocalOrchestrator

VALUES = SimpleNamespace(file=dag.__file__, config_file_name=dag.CONFIG_FILENAME)


def write(name: str, folder: Path) -> Path:
    """Write the DAG of a run, while another command writes one too."""
    made = object.__new__(AirflowLocalOrchestrator)
    config = dag.DagConfiguration(id=name, tasks=[], schedule=runs.ONCE, start_date=None)
    made._write_dag(config, VALUES, str(folder))  # type: ignore[arg-type]
    return made._written


def test_each_command_knows_its_own_dag(tmp_path: Path) -> None:
    first, second = write("first", tmp_path), write("second", tmp_path)
    assert [first.name, second.name] == ["first.zip", "second.zip"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.zip", "second.zip"]


def test_what_is_not_ours_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = SimpleNamespace(status=SimpleNamespace(is_finished=True))
    monkeypatch.setattr(runs, "run_of", lambda _: over)
    ended, half, other = write("ended", tmp_path), tmp_path / "half.zip", tmp_path / "other.zip"
    half.write_bytes(ended.read_bytes()[:100])
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("somebody.py", "")
    runs.remove_ended(tmp_path)
    assert not ended.exists()
    assert half.exists()
    assert other.exists()
