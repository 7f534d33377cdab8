"""What a shadow gave is kept beside the predictions, read with them, and goes with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from accidents.predictions.database_tables import PredictionLogError
from accidents.predictions.prediction_log import PredictionLog
from accidents.predictions.retention import Ages
from accidents.predictions.shadow import ShadowScore
from tests.predictions import connected, prediction

pytest_plugins = ("tests.log_fixtures",)
NOW = datetime.now(UTC)
SCORE = ShadowScore("0" * 32, NOW, "4", "4b" * 32, 0.5, "high", True)


def test_a_score_is_read_with_its_prediction_and_the_first_stays(log: PredictionLog) -> None:
    scored, other, answered = prediction(0), prediction(1), prediction(2, role="challenger")
    log.write([scored, other, answered])
    log.write_shadow([replace(SCORE, request_id=scored.request_id)])
    log.write_shadow([replace(SCORE, request_id=scored.request_id, probability=0.9)])
    log.write_shadow([replace(SCORE, request_id=other.request_id, model_digest="another")])
    rows = list(log.read(shadow=SCORE.model_digest))
    assert [(row["shadow"], row["role"]) for row in rows] == [
        (0.5, "champion"), (None, "champion"), (None, "challenger")
    ]  # fmt: skip
    assert "shadow" not in next(iter(log.read()))


def test_a_score_goes_with_its_prediction(log: PredictionLog, address: str) -> None:
    old, new = (prediction(created=NOW - timedelta(days=days)) for days in (200, 1))
    log.write([old, new])
    log.write_shadow([replace(SCORE, request_id=one.request_id) for one in (old, new)])
    assert sum(log.forget(Ages(unlabelled=timedelta(days=100), labelled=None))) == 1
    with connected(address) as connection:
        left = connection.scalars(text("SELECT request_id FROM shadow_scores"))
        assert list(left) == [new.request_id]


@pytest.mark.parametrize("wrong", [{"probability": 1.5}, {"created": datetime(2026, 1, 1)}, {"band": "a\0"}])
def test_what_the_table_cannot_hold_is_named(log: PredictionLog, wrong: dict[str, object]) -> None:
    with pytest.raises(PredictionLogError, match=next(iter(wrong))):
        log.write_shadow([replace(SCORE, **wrong)])
