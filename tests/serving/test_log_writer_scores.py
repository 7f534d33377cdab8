"""Writing a shadow's scores beside predictions: what is wrong with them refuses no prediction."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from accidents.predictions.prediction_log import PredictionLog, PredictionLogError, Row
from accidents.predictions.shadow import ShadowScore
from serving.api.predicting import log_writer
from serving.api.predicting.log_writer import LogUnavailable, LogWriter
from tests.log_writers import PATIENT, ids, started
from tests.postgres import PostgresServer
from tests.predictions import START, connected, prediction

pytest_plugins = ("tests.log_fixtures",)  # `address`, `postgres`

SCORE = ShadowScore("0" * 32, START, "4", "4b" * 32, 0.5, "high", True)


def scored(address: str) -> list[str]:
    with connected(address) as connection:
        return list(connection.scalars(text("SELECT request_id FROM shadow_scores ORDER BY 1")))


def test_a_shadows_scores_are_there_when_add_returns(address: str) -> None:
    scores = [replace(SCORE, request_id=f"{number:032x}") for number in range(50)]
    names = [score.request_id for score in scores]

    async def scenario() -> None:
        async with started(PredictionLog(address), **PATIENT) as writer:
            await writer.add_scores(scores[:25])  # while nobody asks
            assert scored(address) == names[:25]
            await asyncio.gather(
                writer.add_scores(scores[25:]), *(writer.add(prediction()) for _ in range(20))
            )
            assert (scored(address), len(ids(address))) == (names, 20)
            assert (writer.records, writer.waiting, writer.failures) == (20, 0, 0)

    asyncio.run(scenario())


Written = list[tuple[int, int]]


def noted(address: str, monkeypatch: pytest.MonkeyPatch, wait: float) -> tuple[PredictionLog, Written]:
    """A log whose scores wait so long, and how much is in each transaction, also of one that fails."""
    monkeypatch.setattr(log_writer, "_SCORES_WAIT", wait)
    log = PredictionLog(address)
    written, write = Written(), log.write_rows

    def note(rows: Sequence[Row], scores: Sequence[Row] = ()) -> None:
        written.append((len(rows), len(scores)))
        write(rows, scores)

    monkeypatch.setattr(log, "write_rows", note)
    return log, written


def many(count: int) -> list[ShadowScore]:
    return [replace(SCORE, request_id=f"{number:032x}") for number in range(count)]


def test_in_sqlite_scores_go_with_predictions_some_in_each_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"sqlite:///{tmp_path}/p.db"
    log, written = noted(address, monkeypatch, 60)

    async def scenario() -> None:
        async with started(log, **PATIENT) as writer:
            scores = asyncio.ensure_future(writer.add_scores(many(60)))
            await asyncio.sleep(0)
            for already in (25, 50, 60):
                assert not scores.done()
                await writer.add(prediction())
                assert len(scored(address)) == already
            await scores
            assert (writer.records, writer.waiting, writer.failures) == (3, 0, 0)

    asyncio.run(scenario())
    assert [one for one in written if any(one)] == [(1, 25), (1, 25), (1, 10)]


def test_in_sqlite_the_scores_of_a_call_wait_once_and_predictions_do_not_wait_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"sqlite:///{tmp_path}/p.db"
    log, written = noted(address, monkeypatch, 0.5)

    async def scenario() -> None:
        async with started(log, **PATIENT) as writer:
            begun = time.perf_counter()
            await writer.add_scores(many(250))
            assert 0.5 <= time.perf_counter() - begun < 2, "ten parts, each of them half a second"

    asyncio.run(scenario())
    assert [one for one in written if any(one)] == [(0, 25)] * 10


def test_scores_that_nobody_waits_for_any_more_are_left_out(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/p.db"

    async def scenario() -> None:
        async with started(PredictionLog(address), **PATIENT) as writer:
            gone = asyncio.ensure_future(writer.add_scores(many(60)))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            await writer.add_scores([replace(SCORE, request_id="f" * 32)])

    asyncio.run(scenario())
    assert scored(address) == ["f" * 32]


async def with_scores(writer: LogWriter) -> list[BaseException | None]:
    """Add a prediction while scores wait for one; what became of the scores, and of the prediction."""
    scores = asyncio.ensure_future(writer.add_scores(many(20)))
    await asyncio.sleep(0)
    return await asyncio.gather(scores, writer.add(prediction()), return_exceptions=True)


def test_scores_that_cannot_be_written_refuse_no_prediction(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "_SCORES_WAIT", 60)

    async def scenario() -> None:
        async with started(PredictionLog(address), **PATIENT) as writer:
            assert await with_scores(writer) == [None, None]
            with connected(address) as other, other.begin():
                other.execute(text("DROP TABLE shadow_scores"))
            refused, confirmed = await with_scores(writer)
            assert isinstance(refused, LogUnavailable | PredictionLogError)
            assert "shadow_scores" in str(refused)
            assert confirmed is None
            assert (writer.records, writer.failures, writer.last_error) == (2, 0, None)

    asyncio.run(scenario())
    with connected(address) as connection:
        assert connection.scalar(text("SELECT count(*) FROM predictions")) == 2


@pytest.mark.server
def test_scores_that_wait_for_their_locked_table_keep_no_prediction_waiting(postgres: PostgresServer) -> None:
    address = postgres.new_database()

    async def scenario() -> None:
        async with started(PredictionLog(address)) as writer:
            await writer.add(prediction())
            with connected(address) as other, other.begin():
                other.execute(text("LOCK TABLE shadow_scores IN ACCESS EXCLUSIVE MODE"))
                scores = asyncio.ensure_future(writer.add_scores(many(60)))
                await asyncio.sleep(0.1)
                await asyncio.gather(*(writer.add(prediction()) for _ in range(20)))
                assert not scores.done()
                with pytest.raises(PredictionLogError, match="lock"):
                    await scores

    asyncio.run(scenario())
    assert len(ids(address)) == 21


def test_a_log_that_is_locked_refuses_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "_SCORES_WAIT", 60)
    address = f"sqlite:///{tmp_path}/p.db"

    async def scenario() -> None:
        async with started(PredictionLog(address)) as writer:
            await writer.add(prediction())
            with closing(sqlite3.connect(tmp_path / "p.db")) as other:
                other.execute("BEGIN IMMEDIATE")
                begun = time.perf_counter()
                refused = await with_scores(writer)
                assert {type(one) for one in refused} == {LogUnavailable}
                assert all("locked" in str(one) for one in refused)
                assert time.perf_counter() - begun < 3
                other.rollback()
            await asyncio.sleep(0.5)  # in which a second try would write what was refused
            assert await with_scores(writer) == [None, None]
            await writer.add_scores([])

    asyncio.run(scenario())
    assert PredictionLog(address).count() == 2
