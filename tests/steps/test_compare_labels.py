"""The step that holds callers' labels against a year's files, with a real log."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from accidents.monitoring.measurements import WindowFacts
from accidents.monitoring.window import Window
from accidents.predictions.database_tables import NoDatabaseError
from accidents.predictions.prediction_log import Label, PredictionLog
from steps.folder import Folder
from steps.monitoring.compare_labels import compare_labels
from tests.predictions import prediction


@pytest.fixture
def window(tmp_path: Path) -> Folder:
    """Thirty published accidents, none of them severe, and one without an outcome."""
    ids, severe = [202_300_000_000 + number for number in range(31)], [0.0] * 30 + [float("nan")]
    facts = WindowFacts(source="2023", from_log=False, rows=31, labelled=30)
    Window(pd.DataFrame({"accident_id": ids, "severe": severe}), facts).save(tmp_path)
    return Folder(tmp_path)


def test_labels_meet_published_accidents_by_their_id(
    window: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    monkeypatch.setenv("ACCIDENTS_DATABASE_URL", url)
    with pytest.raises(NoDatabaseError, match=r"log\.db.*database upgrade"):
        compare_labels.entrypoint(window)
    assert not (tmp_path / "log.db").exists()
    log = PredictionLog(url)
    log.create()
    ids = [str(202_300_000_000 + number) for number in range(31)]
    log.write([prediction(accident_id=one) for one in [*ids, "2026-0001"]])
    log.add_labels([Label(True, accident_id=one, key_name="control-room") for one in [*ids, "2026-0001"]])
    log.close()
    found = compare_labels.entrypoint(window)
    assert [(one["caller"], one["compared"], one["disagreeing"]) for one in found["callers"]] == [
        ("control-room", 30, 30)
    ]
    assert found["notes"][0].startswith("30 of 30 outcomes given by control-room")
