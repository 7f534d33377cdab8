"""The prediction log: what is written is what is read. On SQLite and, where installed, PostgreSQL."""

from __future__ import annotations

from array import array
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from accidents.predictions.prediction_log import Prediction, PredictionLog, PredictionLogError, to_row
from tests.predictions import FEATURES, START, prediction

pytest_plugins = ("tests.log_fixtures",)  # the fixtures `address`, `log`, `postgres`


def ids(log: PredictionLog, **how: Any) -> list[str]:
    return [row["request_id"] for row in log.read(**how)]


def test_a_prediction_comes_back_as_it_was(log: PredictionLog) -> None:
    paris = timezone(timedelta(hours=1))
    written = prediction(
        accident_id="2026-é'; DROP TABLE predictions; --",
        created=datetime(2026, 11, 22, 19, 30, 0, 123456, paris),
        probability=0.1 + 0.2,
        alert=True,
        accident={"light": 5, "vehicles": [{"category": 7}], "note": "zoë \0 <script>"},
        key_name=None,
        session="a form",
    )
    log.write([written])
    (row,) = log.read()
    for name in {field.name for field in fields(Prediction)} - {"features"}:
        assert row[name] == getattr(written, name), name
    assert row["created"].tzinfo is UTC
    assert row["alert"] is True
    assert row["severe"] is None
    assert row["labelled"] is None


def test_features_come_back_to_the_last_bit(log: PredictionLog) -> None:
    values = [0.1, 1 / 3, 48.85, 1e-30, 3.4e38, -0.0, 7, float("nan")]
    exact = {f"f{place}": value for place, value in enumerate(array("f", values))}
    log.write([prediction(features=exact)])
    (row,) = log.read()
    assert row["features"].pop("f7") is None
    assert list(row["features"]) == [f"f{place}" for place in range(7)]
    assert array("f", row["features"].values()).tobytes() == array("f", values[:7]).tobytes()


def test_the_last_of_one_model_are_not_those_of_all(log: PredictionLog) -> None:
    made = [prediction(minute, model_digest="ab"[minute % 2]) for minute in range(6)]
    log.write(made)
    assert ids(log, last=2, digest="a") == [made[2].request_id, made[4].request_id]


def test_features_are_stored_compactly() -> None:
    row = to_row(prediction())
    assert " " not in row["features"]
    assert len(row["features"]) < 20 * len(FEATURES)
    assert '"weather":null' in row["features"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"request_id": "1"}, "request_id 1"),
        ({"request_id": "F" * 32}, "request_id"),
        ({"probability": float("nan")}, "probability nan"),
        ({"probability": 1.01}, "probability 1.01"),
        ({"created": START.replace(tzinfo=None)}, "created 2026-11-22T18:30:00"),
        ({"accident_id": "a\0b"}, "accident_id 'a\\x00b'"),
        ({"key_name": "\ud800"}, "key_name"),
        ({"features": {"hour": float("inf")}}, "features an infinity"),
        ({"accident": {"light": {1, 2}}}, "accident"),
        ({"accident": {"note": "\udfff"}}, "accident"),
    ],
)
def test_what_a_log_cannot_hold_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(PredictionLogError) as failed:
        to_row(prediction(**wrong))
    assert said in str(failed.value)
    assert "must be" in str(failed.value)


def test_the_same_request_is_kept_once_and_as_first_written(log: PredictionLog) -> None:
    first = prediction(probability=0.2)
    log.write([first])
    again = prediction(request_id=first.request_id, probability=0.9)  # of the same time: a commit, repeated
    log.write([prediction(1), again])
    assert log.count() == 2
    assert next(iter(log.read()))["probability"] == 0.2


def test_nothing_to_write_is_no_error(log: PredictionLog) -> None:
    log.write([])
    assert log.count() == 0
    assert list(log.read()) == []
    assert log.add_labels([]) == []


def test_reading_goes_by_time(log: PredictionLog) -> None:
    made = [prediction(minute) for minute in range(2500)]
    log.write(made[::-1])
    expected = [one.request_id for one in made]
    assert ids(log) == expected
    assert ids(log, last=3) == expected[-3:]
    assert ids(log, last=0) == []
    assert ids(log, last=10_000) == expected
    since, until = START + timedelta(minutes=10), START + timedelta(minutes=20)
    assert ids(log, since=since) == expected[10:]
    assert ids(log, until=until) == expected[:20]
    assert ids(log, since=since, until=until) == expected[10:20]
    assert ids(log, since=since, until=until, last=2) == expected[18:20]
    assert ids(log, since=since.astimezone(timezone(timedelta(hours=9)))) == expected[10:]


def test_reading_needs_moments_with_a_zone(log: PredictionLog) -> None:
    with pytest.raises(PredictionLogError, match="since"):
        list(log.read(since=datetime(2026, 1, 1)))


def test_a_reader_sees_one_state_and_holds_no_writer_up(log: PredictionLog) -> None:
    log.write([prediction(minute) for minute in range(1500)])
    reading = log.read()
    next(reading)
    log.write([prediction(9999)])
    assert len(list(reading)) == 1499
    assert log.count() == 1501


def test_of_a_session_only_the_last_prediction_counts(log: PredictionLog) -> None:
    log.write([
        prediction(0, session="s"), prediction(1, session="s", accident_id="2"), prediction(1, session="t"),
        prediction(2, session="s", accident_id="26", key_name="another"), prediction(2.5),
        prediction(3, session="s", accident_id="26"),
    ])  # fmt: skip
    counted = [(row["session"], row["accident_id"], row["key_name"]) for row in log.read()]
    assert counted == [
        ("t", None, "control-room"), ("s", "26", "another"), (None, None, "control-room"),
        ("s", "26", "control-room"),
    ]  # fmt: skip
    assert log.count() == 4
    assert [row["session"] for row in log.read(last=2)] == [None, "s"]
