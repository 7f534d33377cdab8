"""A commit whose answer is lost: the row is there, and nobody knows. It must not be there twice, nor fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

import pytest

from accidents.predictions.prediction_log import Label, PredictionLog
from accidents.predictions.store import PredictionStore
from tests.postgres import PostgresServer
from tests.predictions import START, connected, prediction

pytest_plugins = ("tests.log_fixtures",)  # the fixture `postgres`
pytestmark = pytest.mark.server


# What a client says that commits, and how the server says that it has: predictions need no COMMIT. With its
# end: who begins to read says READ COMMITTED.
COMMITS, COMMITTED = (b"COMMIT\0", b'[{"request_id"'), (b"COMMIT", b"INSERT 0 2")


class Line:
    """Between a log and its server. `cut` is the number of answers to commits that are still to be lost,
    after `spared` more."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = 0
        self.cut = self.spared = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield
        server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        back = asyncio.ensure_future(_copy(far_reader, writer))
        while sent := await reader.read(65536):
            far_writer.write(sent)
            commits = any(words in sent for words in COMMITS)
            if commits and self.spared:
                self.spared -= 1
            elif commits and self.cut:
                self.cut -= 1
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
                answer = await far_reader.read(65536)
                assert any(words in answer for words in COMMITTED)  # the server has committed
                break
        for one in (writer, far_writer):
            one.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while sent := await reader.read(65536):
        writer.write(sent)


@contextmanager
def line_to(postgres: PostgresServer, address: str) -> Iterator[tuple[Line, str]]:
    """A line that carries in a thread of its own, and the address of the database through it."""
    line, ready, loop = Line(postgres.port), threading.Event(), asyncio.new_event_loop()
    ending = asyncio.Event()

    async def run() -> None:
        async with line.listening():
            ready.set()
            await ending.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(10)
    yield line, address.replace(f":{postgres.port}/", f":{line.port}/")
    loop.call_soon_threadsafe(ending.set)
    thread.join(10)


def test_a_commit_whose_answer_is_lost_is_neither_doubled_nor_refused(postgres: PostgresServer) -> None:
    address = postgres.new_database()
    with line_to(postgres, address) as (line, through), closing(PredictionLog(through)) as log:
        log.create()
        made = [prediction(minute) for minute in range(4)]
        log.write(made[:2])
        line.cut = 1
        log.write(made[2:])
        assert line.cut == 0  # the answer was indeed lost
        assert [row["request_id"] for row in log.read()] == [one.request_id for one in made]

        line.spared, line.cut = 1, 1  # what the label is of is looked up before
        label = Label(True, request_id=made[0].request_id)
        assert log.add_labels([label]) == ["unchanged"]  # said of the second try; the first was committed
        assert line.cut == 0
    with connected(address) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM labels").scalar() == 1


def test_an_event_is_written_once_and_a_key_is_revoked(postgres: PostgresServer) -> None:
    address = postgres.new_database()
    with line_to(postgres, address) as (line, through), closing(PredictionStore(through)) as store:
        store.create()
        line.cut = 1
        store.history.add_event("loop", START, "a model", "train", "started")
        assert line.cut == 0
        assert len(store.history.events("a model")) == 1

        keys = store.keys(hook=False)
        keys.add("lyon", "5f" * 32, ["predict"])
        line.cut = 1
        assert keys.revoke("lyon")
        assert line.cut == 0
        assert not keys.revoke("lyon")
