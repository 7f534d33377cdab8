"""A window that was looked at before is read again as it was."""

from __future__ import annotations

from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from accidents.monitoring import window
from accidents.monitoring.monitor_settings import MonitorSettings, WindowSettings
from accidents.monitoring.window import Window
from accidents.predictions.store import PredictionStore
from steps.folder import Folder
from steps.monitoring import read_log_window as module
from tests.predictions import FEATURES, START, prediction


@pytest.mark.parametrize("settings", [WindowSettings(), WindowSettings(last=3)])
def test_between_two_moments_whatever_the_settings_say_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: WindowSettings
) -> None:
    bundle = SimpleNamespace(stage="dispatch", features=list(FEATURES), model=None, digest="a", facts={})
    monkeypatch.setattr(module, "load_bundle", lambda _: bundle)
    monkeypatch.setattr(window, "probabilities", lambda _, rows: np.full(len(rows), 0.1))
    between = [(START + timedelta(minutes=minutes)).isoformat() for minutes in (10, 59)]
    with closing(PredictionStore(f"sqlite:///{tmp_path}/predictions.db")) as store:
        store.create()
        store.log.write([prediction(minute) for minute in range(100)])
        monkeypatch.setattr(module, "opened_store", lambda: nullcontext(store))
        policy = MonitorSettings(window=settings)
        folder = module.read_log_window.entrypoint(Folder(tmp_path), policy, 7, between)
    assert Window.load(folder.path).facts.rows == 50


@pytest.mark.parametrize("settings", [WindowSettings(), WindowSettings(last=50)])
def test_what_a_clock_has_dated_ahead_takes_no_place_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: WindowSettings
) -> None:
    """The last so many would be these alone, until their time comes; a little ahead is another thing."""
    later = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    facts = {"recalibrated": {"log_until": later}}
    bundle = SimpleNamespace(stage="dispatch", features=list(FEATURES), model=None, digest="a", facts=facts)
    monkeypatch.setattr(module, "load_bundle", lambda _: bundle)
    monkeypatch.setattr(window, "probabilities", lambda _, rows: np.full(len(rows), 0.1))
    now = datetime.now(UTC)
    hours = [*range(-40, 0), *[0.5] * 5, *[400 * 24] * 60]
    with closing(PredictionStore(f"sqlite:///{tmp_path}/predictions.db")) as store:
        store.create()
        store.log.write([prediction(created=now + timedelta(hours=hour)) for hour in hours])
        monkeypatch.setattr(module, "opened_store", lambda: nullcontext(store))
        policy = MonitorSettings(window=settings)
        folder = module.read_log_window.entrypoint(Folder(tmp_path), policy, 7)
    found = Window.load(folder.path)
    assert found.facts.rows == 45
    assert [note[:39] for note in found.notes] == [
        "60 predictions are dated later than " + f"{now + timedelta(hours=1):%Y}"[:3],
        "The champion was recalibrated on labels",
    ]
