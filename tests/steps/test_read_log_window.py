"""A window that was looked at before is read again as it was."""

from __future__ import annotations

from contextlib import closing, nullcontext
from datetime import timedelta
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
    bundle = SimpleNamespace(stage="dispatch", features=list(FEATURES), model=None, digest="a")
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
