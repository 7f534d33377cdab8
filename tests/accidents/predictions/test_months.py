"""Months of the log in PostgreSQL: made ahead, dropped whole, and nothing is lost on the way to them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from accidents.predictions import database, months, retention
from accidents.predictions.labels import add_labels, targets_of
from accidents.predictions.prediction_log import Label, Prediction, PredictionLog
from accidents.predictions.retention import Ages
from accidents.predictions.shadow import ShadowScore
from tests.accidents.predictions.old_stores import make_old
from tests.postgres import PostgresServer
from tests.predictions import connected, prediction

pytest_plugins = ("tests.log_fixtures",)  # the fixture `postgres`
pytestmark = pytest.mark.server
AGES = Ages(unlabelled=timedelta(days=100), labelled=timedelta(days=300))
NOW = datetime.now(UTC)


def ago(months_ago: int, day: int = 15) -> datetime:
    return months.later(months.month_of(NOW), -months_ago).replace(day=day)


def make_months(address: str, back: int) -> None:
    """As if the log had been there for so many months."""
    with connected(address) as connection:
        for count in range(1, back + 1):
            for table in months.TABLES_BY_MONTH:
                months.make(connection, table, months.month_of(ago(count)))
        connection.commit()


def parts(address: str, table: str = "predictions") -> dict[str, int]:
    """How many rows each partition holds."""
    with connected(address) as connection:
        query = text("SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
                     "WHERE inhparent = to_regclass(:table)")  # fmt: skip
        names = connection.scalars(query, {"table": table}).all()
        return {
            name: int(connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0) for name in sorted(names)
        }


def name(months_ago: int) -> str:
    return months.name_of("predictions", months.month_of(ago(months_ago)))


def forgotten(log: PredictionLog) -> list[int]:
    """How many went of each month of which some did."""
    return [count for count in log.forget(AGES) if count]


def shadow_of(one: Prediction) -> ShadowScore:
    return ShadowScore(one.request_id, one.created, "2", "d" * 64, 0.5, "high", True)


def test_months_are_there_before_they_begin_and_what_has_none_is_kept(postgres: PostgresServer) -> None:
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log:
        log.create()
        ahead = [months.name_of("predictions", months.later(months.month_of(NOW), k)) for k in range(4)]
        assert sorted(parts(address)) == sorted([*ahead, "predictions_rest"])
        log.write([prediction(created=when) for when in (NOW, ago(0), ago(-2), ago(-9), ago(40))])
        assert {count for count in parts(address).values() if count} == {2, 1}
        assert parts(address)["predictions_rest"] == 2
        assert log.count() == len(list(log.read())) == 5
        with connected(address) as connection:  # eight months later
            months.make_missing(connection, ago(-8))
            connection.commit()
        assert parts(address)[name(-9)] == 1, "it moved to its month"
        assert log.count() == 5


def test_every_row_of_a_log_without_months_is_there_and_in_place(postgres: PostgresServer) -> None:
    address = postgres.new_database()
    make_old(address, "log 2 and history")
    with connected(address) as connection:
        before = connection.execute(text("SELECT * FROM predictions ORDER BY request_id")).mappings().all()
        place = connection.scalar(text("SELECT pg_relation_filenode('predictions')"))
    with closing(PredictionLog(address)) as log:
        log.create()
        with connected(address) as connection:
            after = connection.execute(text("SELECT * FROM predictions ORDER BY request_id")).mappings().all()
            assert [{name: row[name] for name in before[0]} for row in after] == [dict(row) for row in before]
            assert len(before) == parts(address)["predictions_before"] == 4
            moved = text("SELECT pg_relation_filenode('predictions_before')")
            assert connection.scalar(moved) == place, "the rows were not copied"
        log.write([prediction(created=ago(-1))])
        assert parts(address)[name(-1)] == 1
        again = next(iter(log.read()))["request_id"]
        assert log.add_labels([Label(True, request_id=again, trusted=True)]) != ["unknown"]


def test_a_month_that_is_too_old_goes_whole_and_nothing_else(postgres: PostgresServer) -> None:
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log:
        log.create()
        make_months(address, 14)
        ancient = [prediction(created=ago(14), accident_id=f"x{k}") for k in range(3)]
        ancient += [prediction(created=ago(14, day), accident_id="both") for day in (1, 28)]
        old = [
            prediction(created=ago(8), accident_id="one"),
            prediction(created=ago(8)),
            prediction(created=ago(8)),
        ]
        young = [prediction(created=ago(1)), prediction(created=ago(1), accident_id="both")]
        log.write([*ancient, *old, *young])
        log.write_shadow([shadow_of(one) for one in (*ancient, *old, *young)])
        said = [Label(True, accident_id=one) for one in ("x0", "x1", "both", "one")]
        said += [Label(False, request_id=old[1].request_id), Label(False, request_id=ancient[2].request_id)]
        log.add_labels(said)

        assert log.count_old(AGES) == 6
        assert forgotten(log) == [5, 1]
        assert log.count_old(AGES) == 0
        assert forgotten(log) == []

        rows = {row["request_id"]: row["severe"] for row in log.read()}
        left = [*old[:2], *young]
        assert rows == {
            one.request_id: severe for one, severe in zip(left, (True, False, None, True), strict=True)
        }
        there = parts(address)
        assert name(14) not in there
        assert (there[name(8)], there[name(1)]) == (2, 2)
        assert sum(parts(address, "shadow_scores").values()) == 4
        with connected(address) as connection:
            labels = connection.execute(text("SELECT accident_id, request_id FROM labels ORDER BY id")).all()
        assert labels == [("both", None), ("one", None), (None, old[1].request_id)]
        log.write([prediction(created=ago(14))])
        assert log.count() == 5, "a row of that month is not refused"


def test_who_reads_for_long_keeps_nobody_from_writing(postgres: PostgresServer) -> None:
    """A month is dropped once the reader is done; meanwhile predictions are written."""
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log:
        log.create()
        make_months(address, 14)
        log.write([prediction(created=ago(14)), prediction(created=ago(0))])
        with connected(address) as reader:
            reader.execute(text("SELECT count(*) FROM predictions"))
            removed: list[int] = []
            clean = threading.Thread(target=lambda: removed.extend(forgotten(log)))
            clean.start()
            slowest = 0.0
            for _ in range(20):
                begun = datetime.now(UTC)
                log.write([prediction(created=ago(0))])
                slowest = max(slowest, (datetime.now(UTC) - begun).total_seconds())
            assert clean.is_alive()
            reader.rollback()
        clean.join(30)
        assert removed == [1]
        assert slowest < 0.9, "that is what the API waits for"


def test_a_start_does_not_wait_for_who_reads_for_long(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month that is missing can wait: what finds none is kept."""
    monkeypatch.setattr(database, "START_PATIENCE", 0.5)
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log:
        log.create()
    with connected(address) as reader:
        reader.execute(text(f"DROP TABLE {name(-3)}"))
        reader.commit()
        reader.execute(text("SELECT count(*) FROM predictions"))
        with closing(PredictionLog(address)) as log:
            begun = time.monotonic()
            log.create()
            assert time.monotonic() - begun < 10
            assert name(-3) not in parts(address)
            reader.rollback()
            log.create()
            assert name(-3) in parts(address)


@pytest.mark.parametrize(("months_ago", "begins"), [(8, "_kept SELECT"), (14, "TEMP TABLE gone")])
def test_what_took_minutes_is_not_done_again_for_a_lock(
    postgres: PostgresServer, months_ago: int, begins: str
) -> None:
    """A reader is in the way once a month is copied: only its place is asked for again."""
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log, connected(address) as reader:
        log.create()
        make_months(address, months_ago)
        stays, late, goes = (prediction(created=ago(months_ago)) for _ in range(3))
        log.write([stays, late, goes])
        log.write_shadow([shadow_of(one) for one in (stays, late, goes)])
        log.add_labels([Label(True, request_id=stays.request_id)])
        said: list[str] = []

        def heard(*given: Any) -> None:
            said.append(given[2])

        event.listen(Engine, "before_cursor_execute", heard)
        reader.execute(text("SELECT count(*) FROM predictions"))
        removed: list[int] = []
        clean = threading.Thread(target=lambda: removed.extend(forgotten(log)))
        clean.start()
        until = time.monotonic() + 20
        while sum("ROLLBACK TO" in one for one in said) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert log.add_labels([Label(True, request_id=late.request_id)]) == ["recorded"]
        reader.rollback()
        clean.join(30)
        event.remove(Engine, "before_cursor_execute", heard)
        kept = [] if months_ago == 14 else [stays, late]
        assert removed == [3 - len(kept)]
        assert {row["request_id"] for row in log.read()} == {one.request_id for one in kept}
        assert sum(parts(address, "shadow_scores").values()) == len(kept)
        words = (begins, f"FROM {name(months_ago)} p", "l.id > 0")
        first = [one for one in said if all(word in one for word in words)]
        assert len(first) == 1


def test_two_that_clean_at_once_do_it_once(postgres: PostgresServer) -> None:
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log:
        log.create()
        make_months(address, 14)
        log.write([prediction(created=ago(14)), prediction(created=ago(13)), prediction(created=ago(13))])
        one = log.forget(AGES)
        assert next(one) == 1
        assert forgotten(log) == [2]
        assert not any(one)


def test_months_that_earlier_looks_have_been_through_come_last(postgres: PostgresServer) -> None:
    """Else a look whose time they take would never reach the month that has become old since."""
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log:
        log.create()
        make_months(address, 14)
        log.write([prediction(created=ago(age)) for age in (5, 8, 8, 12, 12, 12, 14, 14, 14, 14)])
        assert forgotten(log) == [4, 3, 1, 2]


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """The statements that anybody of this process executes."""
    said: list[str] = []

    def hear(*given: Any) -> None:
        said.append(given[2])

    event.listen(Engine, "before_cursor_execute", hear)
    yield said
    event.remove(Engine, "before_cursor_execute", hear)


def reads(said: list[str], months_ago: int) -> list[str]:
    """Those that read the predictions of a month, or of all."""
    tables = rf"FROM ({name(months_ago)}|predictions)\b"
    return [one for one in said if re.search(tables, one)]


def test_a_month_that_has_been_through_is_not_read_at_each_look(
    postgres: PostgresServer, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log:
        log.create()
        make_months(address, 8)
        reduced, whole, goes = (prediction(created=ago(age)) for age in (8, 7, 8))
        log.write([reduced, whole, goes])
        log.add_labels([Label(True, request_id=one.request_id) for one in (reduced, whole)])
        assert forgotten(log) == [1]
        heard.clear()
        assert forgotten(log) == []
        assert [*reads(heard, 8), *reads(heard, 7)] == []
        log.write([prediction(created=ago(8))])  # by a clock that is months behind
        assert forgotten(log) == []
        monkeypatch.setattr(retention, "READ_AGAIN", timedelta(0))
        assert forgotten(log) == [1], "what came late goes in time"
        assert {row["request_id"] for row in log.read()} == {reduced.request_id, whole.request_id}


def test_of_a_table_that_is_old_in_part_rows_go(postgres: PostgresServer) -> None:
    """That from before there were months; and the rest, of which rows have any age."""
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log:
        log.create()
        with connected(address) as connection:
            connection.execute(text("CREATE TABLE predictions_before (LIKE predictions INCLUDING ALL)"))
            months.attach(
                connection, "predictions", "predictions_before", None, months.month_of(NOW).isoformat()
            )
            connection.commit()
        log.write([prediction(created=ago(age)) for age in (14, 8, 8, 1, 0, -9)])
        assert log.count_old(AGES) == 3
        assert forgotten(log) == [3]
        with connected(address) as connection:
            connection.execute(text("DROP TABLE predictions_before"))
            connection.commit()
        log.write([prediction(created=ago(age)) for age in (14, 8)])
        assert parts(address)["predictions_rest"] == 3
        assert forgotten(log) == [2]


def test_what_was_said_is_removed_while_predictions_are_written(postgres: PostgresServer) -> None:
    """Of a month of millions that takes minutes: the tables may not be locked before it is done."""
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log, connected(address) as other, connected(address) as seen:
        log.create()
        make_months(address, 14)
        log.write([prediction(created=ago(14), accident_id="one"), prediction(created=ago(0))])
        log.add_labels([Label(True, accident_id="one")])
        other.execute(text("LOCK TABLE labels IN SHARE MODE"))
        removed: list[int] = []
        clean = threading.Thread(target=lambda: removed.extend(forgotten(log)))
        clean.start()
        waits = text("SELECT pid FROM pg_locks WHERE relation = 'labels'::regclass AND NOT granted")
        holds = text("SELECT count(*) FROM pg_locks WHERE pid = :pid AND relation = 'predictions'::regclass "
                     "AND granted AND mode = 'AccessExclusiveLock'")  # fmt: skip
        until = time.monotonic() + 20
        while (pid := seen.scalar(waits)) is None and time.monotonic() < until:
            time.sleep(0.01)
        assert pid is not None
        assert seen.scalar(holds, {"pid": pid}) == 0
        other.rollback()
        clean.join(30)
        assert removed == [1]
        assert seen.scalar(text("SELECT count(*) FROM labels")) == 0


def test_what_is_said_while_a_month_is_dropped_goes_with_it(postgres: PostgresServer) -> None:
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log, connected(address) as other, connected(address) as seen:
        log.create()
        make_months(address, 14)
        log.write([prediction(created=ago(14), accident_id="one")])
        label = [Label(True, accident_id="one")]
        assert add_labels(other, label, targets_of(other, label)) == ["recorded"]  # not committed yet
        removed: list[int] = []
        clean = threading.Thread(target=lambda: removed.extend(forgotten(log)))
        clean.start()
        waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        until = time.monotonic() + 20
        while not seen.scalar(waits) and time.monotonic() < until:
            time.sleep(0.01)
        other.commit()
        clean.join(30)
        assert removed == [1]
        assert seen.scalar(text("SELECT count(*) FROM labels")) == 0


def test_a_shadows_scores_that_wait_keep_no_prediction_waiting(postgres: PostgresServer) -> None:
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log, connected(address) as other:
        log.create()
        answered = prediction()
        log.write([answered])
        other.execute(text("LOCK TABLE shadow_scores IN ACCESS EXCLUSIVE MODE"))
        scores = threading.Thread(target=lambda: log.write_shadow([shadow_of(answered)]))
        scores.start()
        time.sleep(0.1)
        begun = time.monotonic()
        log.write([prediction()])
        assert time.monotonic() - begun < 0.4
        other.rollback()
        scores.join()
        assert log.count() == 2
        assert sum(parts(address, "shadow_scores").values()) == 1
