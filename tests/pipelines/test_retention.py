"""Old runs go with all that they left; what a version was made of, and what is not old, stays."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from zenml import pipeline
from zenml.client import Client

from accidents.params import KeepSettings
from pipelines import retention
from pipelines.retention import (
    old_runs,
    old_tracked,
    remove_run,
    remove_tracked,
    trim,
    unused_snapshots,
)
from stacks.apply import apply_stack
from tests.stacks.conftest import write_stack
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]


def runner(name: str) -> Callable[..., Any]:
    """A pipeline of this name that leaves an artifact and a line in the log, and fails if it is told to."""
    from tests.pipelines.leaving import fail, leave, measure

    @pipeline(name=name)
    def made(folder: str, bad: bool = False) -> None:
        measure(leave(folder, 100_000))
        if bad:
            fail()

    return made


@pytest.fixture
def store(zenml_store: Path) -> Path:
    """A store without runs."""
    apply_stack("bare")
    for run in Client().list_pipeline_runs(size=100).items:
        remove_run(run)
    return zenml_store


def size(store: Path) -> int:
    return sum(file.stat().st_size for file in (store / "artifacts").rglob("*") if file.is_file())


@pytest.mark.slow
def test_a_hundred_runs_leave_the_store_bounded_and_no_temporary_file(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    keep = KeepSettings(monitor_runs=2, inference_runs=1)
    monitor = runner("monitor")
    sizes = []
    for k in range(100):
        if k % 10 == 3:
            with pytest.raises(RuntimeError, match="fail"):
                monitor(str(tmp_path / "left"), bad=True)
        else:
            monitor(str(tmp_path / "left"))
        trim(keep)
        sizes.append(size(store))
    assert list(temporary.iterdir()) == []
    assert 100_000 < sizes[0] < sizes[1]
    assert max(sizes[2:]) < sizes[1] + 10_000, "bytes of two runs, failed ones included"
    runs = Client().list_pipeline_runs(pipeline="monitor").items
    assert len(runs) == 2
    logs = list((store / "artifacts" / "logs").glob("*"))
    assert len(logs) <= 2 * 5, "logs of removed runs are gone"
    kept = Client().get_pipeline_run(runs[0].id).steps["leave"].outputs["left"][0].load()
    assert (kept.path / "file.bin").stat().st_size == 100_000


def test_training_and_what_a_version_needs_stay(store: Path, tmp_path: Path):
    runner("train")(str(tmp_path / "left"))
    inference = runner("inference")
    first = inference(str(tmp_path / "left"))
    artifact = first.steps["leave"].outputs["left"][0]
    client = Client()
    version = client.create_model_version(client.create_model("a model").id)
    from zenml.model.utils import link_artifact_version_to_model_version

    link_artifact_version_to_model_version(artifact, version)
    inference(str(tmp_path / "left"))
    trim(KeepSettings(monitor_runs=None, inference_runs=1))
    assert len(client.list_pipeline_runs(pipeline="train").items) == 1
    assert len(client.list_pipeline_runs(pipeline="inference").items) == 1
    assert client.get_artifact_version(artifact.id).load().path.is_dir()


def test_how_a_run_was_configured_goes_with_it(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for _ in range(3):
        runner("monitor")(str(tmp_path / "left"))
    trim(KeepSettings(monitor_runs=1))
    assert unused_snapshots() == 0, "not at once: a run may be about to begin"
    monkeypatch.setattr(retention, "_UNUSED_FOR", timedelta(0))
    assert unused_snapshots() >= 2
    trim(KeepSettings(monitor_runs=1))
    runs = Client().list_pipeline_runs(size=100, hydrate=True).items
    snapshots = Client().list_snapshots(named_only=False, size=100).items
    assert {one.id for one in snapshots} == {run.snapshot.id for run in runs if run.snapshot}


def test_runs_of_a_stack_with_another_store_go_too(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_stack(
        tmp_path, "other", artifact_store={"flavor": "local", "config": {"path": str(tmp_path / "b")}}
    )
    apply_stack("other", folder=tmp_path)
    runner("monitor")(str(tmp_path / "left"))
    logs = tmp_path / "b" / "logs"
    assert list(logs.iterdir())
    apply_stack("bare")
    runner("monitor")(str(tmp_path / "left"))
    trim(KeepSettings(monitor_runs=1))
    assert len(Client().list_pipeline_runs(pipeline="monitor").items) == 1
    assert [path for path in logs.rglob("*") if path.is_file()] == []
    assert "could not be removed" not in capsys.readouterr().err


def test_one_run_that_cannot_be_removed_keeps_no_other(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for _ in range(3):
        runner("monitor")(str(tmp_path / "left"))
    first, second = old_runs(KeepSettings(monitor_runs=1))

    def load(identity: object) -> None:
        monkeypatch.undo()
        raise NotImplementedError("its store needs a package")

    monkeypatch.setattr(retention, "load_artifact_store", load)
    trim(KeepSettings(monitor_runs=1))
    assert [run.id for run in old_runs(KeepSettings(monitor_runs=1))] == [first.id], "and is tried again"
    told = capsys.readouterr().err
    assert f"run {first.name} could not be removed whole: its store needs a package" in told
    assert second.name not in told


def test_a_run_that_was_killed_goes_once_it_cannot_be_running(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(2):
        runner("recalibrate")(str(tmp_path / "left"))
    keep = KeepSettings(monitor_runs=1)
    assert len(old_runs(keep)) == 1
    monkeypatch.setattr(retention, "_FINISHED", ())  # as if both said that they run
    assert old_runs(keep) == [], "one may run as yet"
    monkeypatch.setattr(retention, "_DEAD_AFTER", timedelta(0))
    assert len(old_runs(keep)) == 1


def test_null_keeps_all(store: Path, tmp_path: Path):
    runner("monitor")(str(tmp_path / "left"))
    assert old_runs(KeepSettings(monitor_runs=None, inference_runs=None)) == []


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an empty tracker, which is the stack's."""
    import mlflow

    before = mlflow.get_tracking_uri()
    tracker = SimpleNamespace(
        configure_mlflow=lambda: mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    )
    stack = SimpleNamespace(experiment_tracker=tracker)
    monkeypatch.setattr(retention, "Client", lambda: SimpleNamespace(active_stack=stack))
    tracker.configure_mlflow()
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


def test_on_a_shared_tracker_what_others_call_monitor_stays(tmp_path: Path, tracker: Any):
    runs = {}
    assert old_tracked(KeepSettings(monitor_runs=1)) == []
    for name in ("monitor", "theirs"):
        experiment = tracker.create_experiment(name, str(tmp_path / name))
        runs[name] = [
            tracker.create_run(experiment, start_time=k, tags={"kind": "monitor"}).info.run_id
            for k in (1, 2, 3)
        ]
    assert old_tracked(KeepSettings(monitor_runs=1)) == runs["monitor"][:2]


def test_a_run_of_the_tracker_goes_with_its_files_and_no_other(tmp_path: Path, tracker: Any):
    experiment = tracker.create_experiment("monitor", str(tmp_path / "files"))
    runs = [
        tracker.create_run(experiment, start_time=k, tags={"kind": "monitor"}).info.run_id for k in (1, 2)
    ]
    for run in runs:
        tracker.log_text(run, "{}", "monitor.json")
    remove_tracked(*old_tracked(KeepSettings(monitor_runs=1)))
    assert [path.parts[-3] for path in (tmp_path / "files").rglob("monitor.json")] == runs[1:]
    assert [tracker.get_run(run).info.lifecycle_stage for run in runs] == ["deleted", "active"]
    assert old_tracked(KeepSettings(monitor_runs=1)) == []
