"""Writing predictions under load, and when the database is killed, full, locked, frozen or gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from accidents.predictions.prediction_log import PredictionLog, PredictionLogError, Row
from accidents.predictions.shadow import ShadowScore
from serving.api.predicting import log_writer
from serving.api.predicting.log_writer import LogUnavailable, LogWriter
from tests.conftest import ROOT
from tests.postgres import PostgresServer
from tests.predictions import START, connected, prediction

pytest_plugins = ("tests.log_fixtures",)  # `address`, `log`, `postgres`


SCORE = ShadowScore("0" * 32, START, "4", "4b" * 32, 0.5, "high", True)
PATIENT = {"patience": 60.0}  # where time is not what is tested: a busy machine may stall a disk for a second


def seen_by(seen: list[tuple[int, float]]) -> Callable[[int, float], None]:
    return lambda records, seconds: seen.append((records, seconds))


@contextlib.asynccontextmanager
async def started(log: PredictionLog, **settings: object) -> AsyncIterator[LogWriter]:
    writer = LogWriter(log, **settings)
    await writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


def ids(address: str) -> list[str]:
    """What a newcomer to the database finds in it."""
    with closing(PredictionLog(address)) as log:
        return [row["request_id"] for row in log.read()]


async def unavailable(writer: LogWriter, count: int = 1) -> str:
    """Add, fail within about a second, and return what was told."""
    begun = time.perf_counter()
    results = await asyncio.gather(*(writer.add(prediction()) for _ in range(count)), return_exceptions=True)
    assert time.perf_counter() - begun < 3
    assert {type(result) for result in results} == {LogUnavailable}
    return str(results[0])


def test_what_is_added_is_there_when_add_returns(address: str) -> None:
    async def scenario() -> None:
        async with started(PredictionLog(address), **PATIENT) as writer:
            one, many = prediction(0), [prediction(minute) for minute in range(1, 1001)]
            await writer.add(one)
            assert ids(address) == [one.request_id]
            await writer.add_many(many)
            assert ids(address) == [each.request_id for each in [one, *many]]
            await writer.add_many([])

    asyncio.run(scenario())


def test_what_waits_goes_in_one_commit(log: PredictionLog) -> None:
    seen: list[tuple[int, float]] = []

    async def scenario() -> None:
        async with started(log, on_commit=seen_by(seen), **PATIENT) as writer:
            await asyncio.gather(*(writer.add(prediction()) for _ in range(500)))
            assert (writer.records, writer.waiting, writer.failures, writer.last_error) == (500, 0, 0, None)
            assert writer.commits == len(seen) < 50
            assert sum(records for records, _ in seen) == 500
            assert 0 < writer.last_commit_seconds == seen[-1][1] < 2

    asyncio.run(scenario())
    assert log.count() == 500


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


def test_stop_writes_what_waits_and_refuses_what_comes_later(log: PredictionLog) -> None:
    async def scenario() -> None:
        writer = LogWriter(log, **PATIENT)
        with pytest.raises(LogUnavailable, match="not open"):
            await writer.add(prediction())
        await writer.start()
        adding = [asyncio.ensure_future(writer.add(prediction())) for _ in range(300)]
        await asyncio.sleep(0)
        await writer.stop()
        await asyncio.gather(*adding)
        with pytest.raises(LogUnavailable, match="not open"):
            await writer.add(prediction())
        await writer.stop()

    asyncio.run(scenario())
    assert log.count() == 300


def test_what_the_log_cannot_hold_harms_no_other(log: PredictionLog) -> None:
    async def scenario() -> None:
        async with started(log, **PATIENT) as writer:
            good = [writer.add(prediction()) for _ in range(10)]
            results = await asyncio.gather(
                *good, writer.add(prediction(accident_id="\0")), return_exceptions=True
            )
            assert results[:10] == [None] * 10
            assert isinstance(results[10], PredictionLogError)
            assert writer.waiting == 0

    asyncio.run(scenario())
    assert log.count() == 10


def test_a_caller_that_leaves_disturbs_no_other(log: PredictionLog) -> None:
    async def scenario() -> None:
        async with started(log, **PATIENT) as writer:
            adding = [asyncio.ensure_future(writer.add(prediction())) for _ in range(100)]
            await asyncio.sleep(0)
            for each in adding[::2]:
                each.cancel()
            results = await asyncio.gather(*adding, return_exceptions=True)
            assert results[1::2] == [None] * 50
            await writer.add(prediction())
            assert writer.waiting == 0

    asyncio.run(scenario())
    assert log.count() >= 51


def test_a_log_of_another_version_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "p.db").write_text("no database" * 100)
    writer = LogWriter(PredictionLog(f"sqlite:///{tmp_path}/p.db"))
    with pytest.raises(PredictionLogError, match="not a database"):
        asyncio.run(writer.start())


# --- trouble


@pytest.mark.server
def test_kill_9_loses_nothing_that_was_confirmed(address: str) -> None:
    for already in (0, 1):  # the second time on what the first has left behind
        known = set(ids(address)) if already else set()
        command = [sys.executable, "-m", "tests.serving.log_load", address]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            confirmed = [process.stdout.readline() for _ in range(400)]
            process.kill()
            confirmed += process.stdout.readlines()
        told = {line.decode().strip() for line in confirmed if line.endswith(b"\n")}
        assert len(told) >= 400
        found = Counter(ids(address))
        assert told | known <= set(found)
        assert set(found.values()) == {1}


def test_a_file_that_cannot_grow_and_then_can(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/p.db"
    command = [sys.executable, "-m", "tests.serving.small_disk", address]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "disk" in told["told"]
    assert told["seconds"] < 2
    assert len(told["before"]) > 10
    assert Counter(ids(address)) == Counter(told["before"] + told["after"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root; test_a_file_that_cannot_grow_and_then_can needs none")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_and_then_room_again(small_disk: Path) -> None:
    address = f"sqlite:///{small_disk}/p.db"
    filler = small_disk / "filler"
    confirmed: list[str] = []

    async def add(writer: LogWriter) -> None:
        one = prediction()
        await writer.add(one)
        confirmed.append(one.request_id)

    async def scenario() -> None:
        async with started(PredictionLog(address)) as writer:
            await add(writer)
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            with contextlib.suppress(LogUnavailable):  # what the log still has room for
                while True:
                    await add(writer)
            assert "disk is full. Free some space" in await unavailable(writer, 50)
            assert writer.last_error is not None
            assert writer.failures > 0
            filler.unlink()
            await asyncio.gather(*(add(writer) for _ in range(50)))
            assert writer.last_error is None

    asyncio.run(scenario())
    assert Counter(ids(address)) == Counter(confirmed)


def test_a_locked_file_and_then_a_free_one(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/p.db"

    async def scenario() -> None:
        async with started(PredictionLog(address)) as writer:
            await writer.add(prediction())
            with closing(sqlite3.connect(tmp_path / "p.db")) as other:
                other.execute("BEGIN IMMEDIATE")
                assert "locked" in await unavailable(writer, 20)
                other.rollback()
            await writer.add(prediction())

    asyncio.run(scenario())
    assert len(ids(address)) == 2


def test_a_file_that_is_gone_and_then_back(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/p.db"
    file, away = tmp_path / "p.db", tmp_path / "away.db"

    async def scenario() -> None:
        async with started(PredictionLog(address)) as writer:
            await writer.add(prediction())
            file.rename(away)
            assert "Put the file back" in await unavailable(writer, 20)
            away.rename(file)
            await writer.add(prediction())

    asyncio.run(scenario())
    assert len(ids(address)) == 2


def test_too_many_waiting_are_refused_at_once(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/p.db"

    async def scenario() -> None:
        async with started(PredictionLog(address), limit=100) as writer:
            with closing(sqlite3.connect(tmp_path / "p.db")) as other:
                other.execute("BEGIN IMMEDIATE")
                waiting = [asyncio.ensure_future(writer.add(prediction())) for _ in range(100)]
                await asyncio.sleep(0.05)
                begun = time.perf_counter()
                for too_many in (writer.add(prediction()), writer.add_many([prediction(), prediction()])):
                    with pytest.raises(LogUnavailable, match="does not keep up: 100 predictions wait"):
                        await too_many
                assert time.perf_counter() - begun < 0.1
                other.rollback()
            await asyncio.gather(*waiting)
            with pytest.raises(LogUnavailable):
                await writer.add_many([prediction() for _ in range(101)])
            await writer.add_many([prediction() for _ in range(100)])

    asyncio.run(scenario())
    assert len(ids(address)) == 200


@pytest.mark.server
@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_server_stopped_under_load_and_started_again(postgres: PostgresServer, how: str) -> None:
    address = postgres.new_database()
    confirmed: list[str] = []
    refused: list[str] = []

    async def scenario() -> None:
        async with started(PredictionLog(address)) as writer:
            ending = asyncio.Event()

            async def call() -> None:
                while not ending.is_set():
                    one = prediction()
                    try:
                        await writer.add(one)
                        confirmed.append(one.request_id)
                    except LogUnavailable as error:
                        refused.append(str(error))
                        await asyncio.sleep(0.02)

            callers = [asyncio.ensure_future(call()) for _ in range(8)]
            try:
                await asyncio.sleep(0.5)
                await asyncio.to_thread(postgres.stop, how)
                await asyncio.sleep(0.3)
                before = len(confirmed)
            finally:
                await asyncio.to_thread(postgres.start)
            await asyncio.sleep(0.7)
            ending.set()
            await asyncio.gather(*callers)
            assert 0 < before < len(confirmed)

    asyncio.run(scenario())
    assert any("Is the server running" in told for told in refused)
    found = Counter(ids(address))
    assert set(confirmed) <= set(found)
    assert set(found.values()) == {1}


@pytest.mark.server
def test_a_frozen_server(postgres: PostgresServer) -> None:
    address = postgres.new_database()

    async def scenario() -> None:
        async with started(PredictionLog(address)) as writer:
            await writer.add(prediction())
            postgres.send(signal.SIGSTOP)
            try:
                assert "did not answer in 1.0 s" in await unavailable(writer, 20)
            finally:
                postgres.send(signal.SIGCONT)
            await writer.add(prediction())

    asyncio.run(scenario())
    assert max(Counter(ids(address)).values()) == 1
