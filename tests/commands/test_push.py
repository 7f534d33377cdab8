"""The metrics of the monitor: a file a model, whose samples say which."""

from __future__ import annotations

from pathlib import Path

import pytest

from accidents.predictions.history import new_loop
from accidents.predictions.store import VARIABLE, PredictionStore
from commands import push as module
from tests.observability.reports import report

NAMES = {"dispatch": "accident-severity-dispatch", "on_scene": "accident-severity-on-scene"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PredictionStore:
    address = f"sqlite:///{tmp_path}/predictions.db"
    monkeypatch.setenv(VARIABLE, address)
    monkeypatch.setattr(module, "FOLDER", tmp_path / "monitor")
    monkeypatch.setattr(module.champion_and_versions, "champion", lambda name: None)
    store = PredictionStore(address)
    store.create()
    return store


def test_a_look_at_one_model_leaves_what_was_told_of_the_other(
    store: PredictionStore, tmp_path: Path
) -> None:
    for stage, name in NAMES.items():
        store.history.add_run(report(name=name, stage=stage), judged=True, loop_id=new_loop())
        module.push(name, stage)
    store.close()
    told = {path.name: path.read_text() for path in (tmp_path / "monitor").iterdir()}
    assert told.keys() == {f"metrics-{name}.prom" for name in NAMES.values()}
    for name in NAMES.values():
        lines = [line for line in told[f"metrics-{name}.prom"].splitlines() if not line.startswith("#")]
        assert lines
        assert all(f'model="{name}"' in line for line in lines)
