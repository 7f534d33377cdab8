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
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from accidents.predictions.prediction_log import PredictionLog, PredictionLogError
from serving.api.predicting.log_writer import LogUnavailable, LogWriter
from tests.conftest import ROOT
from tests.log_writers import PATIENT, ids, started
from tests.postgres import PostgresServer
from tests.predictions import prediction

pytest_plugins = ("tests.log_fixtures",)  # `address`, `log`, `postgres`


def seen_by(seen: list[tuple[int, float]]) -> Callable[[int, float], None]:
    return lambda records, seconds: seen.append((records, seconds))


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
