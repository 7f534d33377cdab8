"""Predictions are forgotten by age, those with an outcome later, each with what was said of it."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from accidents.predictions import prediction_log
from accidents.predictions import retention as prediction_retention
from accidents.predictions.database import PredictionDatabase
from accidents.predictions.labels import add_labels, lock_labels, targets_of
from accidents.predictions.prediction_log import Label, Prediction, PredictionLog
from accidents.predictions.retention import Ages
from tests.postgres import PostgresServer
from tests.predictions import connected, prediction

pytest_plugins = ("tests.log_fixtures",)
AGES = Ages(unlabelled=timedelta(days=100), labelled=timedelta(days=300))

ALL = Ages(timedelta(days=-32), timedelta(days=-32))  # in PostgreSQL by whole months, this one too


def aged(days: float, accident_id: str | None = None) -> Prediction:
    return prediction(accident_id=accident_id, created=datetime.now(UTC) - timedelta(days=days))


def left(log: PredictionLog) -> set[str]:
    return {row["request_id"] for row in log.read()}


def test_by_age_and_those_with_an_outcome_later(log: PredictionLog, address: str):
    new, old, labelled, of_accident, ancient, same = (
        aged(99), aged(135), aged(200), aged(200, "A"), aged(335, "B"), aged(10, "B"),
    )  # fmt: skip
    log.write([new, old, labelled, of_accident, ancient, same])
    log.add_labels(
        [
            Label(True, request_id=labelled.request_id),
            Label(False, accident_id="A"),
            Label(True, accident_id="B"),
        ]
    )
    assert log.count_old(AGES) == 2
    assert sum(log.forget(AGES)) == 2
    assert left(log) == {one.request_id for one in (new, labelled, of_accident, same)}
    outcomes = {row["request_id"]: row["severe"] for row in log.read()}
    assert outcomes[same.request_id] is True, "a label stays while a prediction of its accident does"
    assert sum(log.forget(ALL)) == 4
    with connected(address) as connection:
        assert connection.execute(text("SELECT count(*) FROM labels")).scalar_one() == 0


@pytest.mark.parametrize("by", ["request_id", "accident_id"])
def test_what_is_removed_while_a_label_is_on_its_way_has_none(log: PredictionLog, address: str, by: str):
    old, new = aged(200, "A"), aged(10, "B")
    log.write([old, new])
    labels = [Label(True, **{by: getattr(one, by)}) for one in (old, new)]
    with closing(PredictionDatabase(address)) as database:
        targets = database.run(lambda connection: targets_of(connection, labels), write=False)
        assert sum(log.forget(AGES)) == 1
        statuses = database.run(lambda connection: add_labels(connection, labels, targets), write=True)
    assert statuses == ["unknown", "recorded"]
    with connected(address) as connection:
        assert connection.execute(text("SELECT count(*) FROM labels")).scalar_one() == 1


def test_who_removes_may_end_it_also_where_nothing_went(
    log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outcome came between the two transactions: what was too old stays."""
    found = prediction_log.oldest

    def then_labelled(connection: Any, **more: Any) -> Any:
        rows = found(connection, **more)
        log.add_labels([Label(True, request_id=row.request_id) for row in rows])
        return rows

    monkeypatch.setattr(prediction_log, "oldest", then_labelled)
    log.write([aged(200)])
    assert list(log.forget(AGES)) == [0]


def test_null_is_for_ever(log: PredictionLog):
    log.write([aged(5000)])
    for ages in (Ages(None, None), Ages(None, timedelta(days=1))):
        assert log.count_old(ages) == 0
        assert list(log.forget(ages)) == []
    assert log.count() == 1


def test_some_at_a_time_the_oldest_first(log: PredictionLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prediction_retention, "AT_ONCE", 2)
    written = [aged(200 + k) for k in range(5)]
    log.write(written)
    removing = log.forget(AGES)
    assert next(removing) == 2
    assert left(log) == {one.request_id for one in written[:3]}
    assert list(removing) == [2, 1]


def effort(address: str, kept: int) -> int:
    """How much SQLite works to forget fifty predictions behind so many older ones that stay."""
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    def connected(connection: Any, _: Any) -> None:
        connection.set_progress_handler(count, 100)

    with closing(PredictionLog(address)) as log:
        log.create()
        old = [aged(250) for _ in range(kept)]
        log.write([*old, *(aged(200) for _ in range(50))])
        log.add_labels([Label(True, request_id=one.request_id) for one in old])
    event.listen(Engine, "connect", connected)
    try:
        with closing(PredictionLog(address)) as log:
            assert list(log.forget(AGES)) == [2] * 25
    finally:
        event.remove(Engine, "connect", connected)
    return steps[0]


def test_what_stays_is_looked_at_once_not_with_each_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prediction_retention, "AT_ONCE", 2)
    none, some, more = (effort(f"sqlite:///{tmp_path}/{kept}.db", kept) for kept in (0, 400, 800))
    assert more - some < 5 * none, f"{none}, {some}, {more}"


@pytest.mark.server
def test_what_stays_is_looked_through_while_labels_are_added(postgres: PostgresServer):
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log, connected(address) as other:
        log.create()
        stays = aged(200)
        log.write([stays])
        log.add_labels([Label(True, request_id=stays.request_id)])
        lock_labels(other)
        assert list(log.forget(AGES)) == []
        other.rollback()
