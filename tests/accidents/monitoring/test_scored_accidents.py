"""Accidents that a trial has scored count as those of a window do."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accidents.monitoring import window
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.scored_accidents import Scored, scored_by

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def bundle(digest: str, learnt_from: tuple[str, ...] = ()) -> Any:
    facts = {"synthetic": False, "learnt_from": list(learnt_from)}
    return SimpleNamespace(
        digest=digest, stage="dispatch", features=["hour", "light"], facts=facts, model=None
    )


def row(number: int, digest: str = "b", shadow: float | None = None, **changes: Any) -> dict[str, Any]:
    usual = {
        "request_id": f"{number:032x}", "accident_id": None, "created": NOW, "stage": "dispatch",
        "features": {"hour": 3.0, "light": None}, "accident": {"year": 2026, "month": 11},
        "model_digest": digest, "probability": 0.2, "shadow": shadow, "severe": None, "key_name": "lyon",
    }  # fmt: skip
    return usual | changes


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "probabilities", lambda _, rows: np.full(len(rows), 0.1))


def scored(rows: list[dict[str, Any]], trial: Any = None) -> Scored:
    return scored_by(trial or bundle("b"), bundle("a"), rows, MonitorSettings(), 7)


def test_of_the_log_what_the_version_answered_or_scored_counts() -> None:
    found = scored([row(1, "a"), row(2, severe=True), row(3, "a", shadow=0.4, severe=False)])
    assert found.p_severe.tolist() == [0.2, 0.4]
    assert found.severe.tolist() == [1.0, 0.0]
    assert np.isnan(found.frame["light"]).all()


def test_an_accident_counts_once_with_its_last_prediction_and_labels_that_agree() -> None:
    rows = [row(k, accident_id="A", probability=k / 10, severe=True) for k in range(1, 6)]
    rows += [row(10, accident_id="B", severe=True), row(11, accident_id="B", severe=False)]
    found = scored(rows)
    assert (len(found.frame), found.p_severe[0]) == (2, 0.5)
    assert (found.severe[0], np.isnan(found.severe[1])) == (1.0, True)


def test_one_caller_is_a_share_of_the_comparison() -> None:
    rows = [row(k, key_name="loud") for k in range(3_000)]
    rows += [row(3_000 + k, key_name=f"room-{k % 7}") for k in range(2_800)]
    found = scored(rows)
    assert len(found.frame) == 3_500
    assert "Counted 700 of 3,000 predictions of loud" in found.notes[0]


def test_what_the_trial_has_learnt_from_does_not_judge_it() -> None:
    rows = [row(1, severe=True), row(2, severe=True, accident={"year": 2026, "month": 10})]
    found = scored(rows, bundle("b", ("2026-10",)))
    assert (len(found.frame), np.isnan(found.severe).tolist()) == (2, [False, True])
