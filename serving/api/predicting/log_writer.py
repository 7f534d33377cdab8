"""Puts predictions into the log before they are answered, many in one commit.

One thread writes. While it commits, further predictions wait in a queue; all that wait go into the next
transaction (group commit), so that one flush to the disk carries the load of the moment. A shadow's scores go
with it, some in each: a transaction of their own would have predictions wait for its flush, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from accidents.errors import AccidentsError
from accidents.predictions.prediction_log import Prediction, PredictionLog, PredictionLogError, Row, to_row
from accidents.predictions.shadow import ShadowScore, to_shadow_row

LOGGER = logging.getLogger(__name__)
STOP_PATIENCE = 10.0  # seconds that `stop` gives the last commits
_SCORES_WAIT = 0.05  # seconds that a shadow's scores, all of a call, wait for predictions to go with
_AT_ONCE = 0.1  # seconds: who is refused by a lock or a database that hangs has waited longer
_SCORES_TOGETHER = 25  # of them in one transaction, whose predictions wait for them


class LogUnavailable(AccidentsError):  # noqa: N818 - a state, not a mistake
    """A prediction was not confirmed to be in the log, so it must not be answered."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """What one `add_many` or `add_scores` brought, and whom to tell."""

    rows: list[Row]
    committed: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class _Scores(_Waiting):
    """What of one `add_scores` is not written yet.

    alone_from: when it no longer waits for predictions to go with, as `time.monotonic()`.
    """

    alone_from: float


class LogWriter:
    """Writes predictions to a log from an event loop.

    Numbers for metrics, changed on the loop only: `commits`, `records` (committed), `failures` (failed
    transactions), `waiting` (records in the queue or being written), `last_commit_seconds`,
    `last_error` (None as long as the newest transaction succeeded). `on_commit(records, seconds)` is
    called on the loop after each commit.
    """

    def __init__(
        self,
        log: PredictionLog,
        *,
        limit: int = 10_000,
        patience: float = 1.0,
        on_commit: Callable[[int, float], None] | None = None,
    ) -> None:
        """At most `limit` records wait at a time, none longer than `patience` seconds."""
        self._log, self._limit, self._patience, self._on_commit = log, limit, patience, on_commit
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[None] | None = None
        self.commits = self.records = self.failures = self.waiting = 0
        self.last_commit_seconds = 0.0
        self.last_error: str | None = None

    async def start(self) -> None:
        """Make the log where there is none, and start the thread.

        Raises
        ------
        PredictionLogError : the log cannot be made or is of another version.
        """
        await asyncio.to_thread(self._log.create)
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        arguments = (self._loop, self._ended)
        threading.Thread(target=self._write_all, args=arguments, name="prediction-log", daemon=True).start()

    async def stop(self) -> None:
        """Write what waits, then end the thread. Later adds are refused."""
        ended, self._loop = self._ended, None
        if ended is None:
            return
        self._queue.put(None)
        try:
            await asyncio.wait_for(asyncio.shield(ended), STOP_PATIENCE)
        except TimeoutError:
            LOGGER.warning("The prediction log did not finish in %s s: it is left behind.", STOP_PATIENCE)

    async def add(self, prediction: Prediction) -> None:
        """Return once the prediction is committed. Raises as `add_many` does."""
        await self.add_many([prediction])

    async def add_many(self, predictions: Sequence[Prediction]) -> None:
        """Return once all of them are committed, in one transaction.

        Raises
        ------
        LogUnavailable : the log is gone, full, locked or too slow, or too many wait already. If the database
            hangs in the middle of a commit, they may still be written later.
        PredictionLogError : one of them is not what the log can hold.
        """
        if self._loop is None:
            raise LogUnavailable("The prediction log is not open: the API is starting or ending. Try again.")
        if not predictions:
            return
        if self.waiting + len(predictions) > self._limit:
            raise LogUnavailable(
                f"The prediction log {self._log.place} does not keep up: {self.waiting} predictions wait. "
                "Try again, or look at the database's disk."
            )
        item = _Waiting([to_row(prediction) for prediction in predictions], self._loop.create_future())
        self.waiting += len(item.rows)
        self._queue.put(item)
        try:
            async with asyncio.timeout(self._patience):
                await item.committed
        except TimeoutError:
            raise LogUnavailable(
                f"The prediction log {self._log.place} did not answer in {self._patience} s. "
                "Is the database busy, or hanging? It goes on by itself."
            ) from None

    async def add_scores(self, scores: Sequence[ShadowScore]) -> None:
        """Return once these of a shadow's call are committed, however long that takes.

        In SQLite some go into each transaction, for predictions wait for it; once one of these fails, no more
        are written. In PostgreSQL all or none.

        Raises
        ------
        LogUnavailable : the log is not open; in SQLite also what is wrong with the log.
        PredictionLogError : one is not what the log can hold; in PostgreSQL also what is wrong with the log.
        """
        if self._loop is None:
            raise LogUnavailable("The prediction log is not open: the API is starting or ending.")
        if not scores:
            return
        if not self._log.has_one_writer:
            await asyncio.to_thread(self._log.write_shadow, scores)
            return
        rows = [to_shadow_row(score) for score in scores]
        item = _Scores(rows, self._loop.create_future(), time.monotonic() + _SCORES_WAIT)
        self._queue.put(item)
        await item.committed

    def _write_all(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        """Write in a thread of its own, one transaction after another, until `stop`."""
        scores, stopping = deque[_Scores](), False
        while not stopping or scores:
            items, ends = self._take(scores)
            stopping |= ends
            # Whoever gave up waiting was told that it failed; `done` is a plain flag, safe to read from here.
            rows = [row for item in items if not item.committed.done() for row in item.rows]
            some = _next_of(scores, bool(rows))
            seconds, error, of_scores = self._commit(rows, some)
            ended_scores = _tick_off(scores, len(some), of_scores)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                if items:
                    loop.call_soon_threadsafe(self._tell, items, len(rows), seconds, error)
                if ended_scores:
                    loop.call_soon_threadsafe(_wake, ended_scores, of_scores)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set_result, None)

    def _take(self, scores: deque[_Scores]) -> tuple[list[_Waiting], bool]:
        """Wait for something, no longer than scores wait for predictions; then take all there is.

        Returns
        -------
        the predictions, and whether the end is there; what scores there are goes to `scores`.
        """
        taken = list[_Waiting | None]()
        with contextlib.suppress(Empty):
            left = max(0.0, scores[0].alone_from - time.monotonic()) if scores else None
            taken.append(self._queue.get(timeout=left))
        while not self._queue.empty():
            taken.append(self._queue.get())
        scores.extend(item for item in taken if isinstance(item, _Scores))
        return [item for item in taken if item and not isinstance(item, _Scores)], None in taken

    def _commit(self, rows: Sequence[Row], scores: Sequence[Row]) -> tuple[float, str | None, str | None]:
        """Seconds it took, and what went wrong, if something did: with predictions, and with scores."""
        begun = time.perf_counter()
        error = of_scores = self._write(rows, scores)
        at_once = time.perf_counter() - begun < _AT_ONCE
        if (
            error and rows and scores and at_once
        ):  # what is wrong with scores alone refuses no prediction, unless it comes late
            error = self._write(rows, [])
        return time.perf_counter() - begun, error, of_scores

    def _write(self, rows: Sequence[Row], scores: Sequence[Row]) -> str | None:
        """Commit all of them, or say why there is none."""
        try:
            self._log.write_rows(rows, scores)
        except PredictionLogError as error:
            return str(error)
        except Exception as error:  # a defect, but the thread must live: without it nothing is answered
            LOGGER.exception("Writing to the prediction log failed")
            return f"The prediction log failed: {type(error).__name__}. See the API's own log."
        return None

    def _tell(self, items: Sequence[_Waiting], records: int, seconds: float, error: str | None) -> None:
        """On the loop: count, and wake who waits."""
        self.waiting -= sum(len(item.rows) for item in items)
        self._count(records, seconds, error)
        for item in items:
            _wake(item, error)

    def _count(self, records: int, seconds: float, error: str | None) -> None:
        self.last_error = error
        if error is not None:
            self.failures += 1
        elif records:
            self.commits += 1
            self.records += records
            self.last_commit_seconds = seconds
            if self._on_commit:
                self._on_commit(records, seconds)


def _next_of(scores: deque[_Scores], beside: bool) -> list[Row]:
    """Return the scores that go now, `beside` predictions or alone."""
    while scores and scores[0].committed.done():  # nobody waits for them any more
        scores.popleft()
    goes = scores and (beside or time.monotonic() >= scores[0].alone_from)
    return scores[0].rows[:_SCORES_TOGETHER] if goes else []


def _tick_off(scores: deque[_Scores], count: int, error: str | None) -> _Scores | None:
    """Take away the `count` scores that were written, or all of their call; return it if it has ended."""
    if not count:
        return None
    del scores[0].rows[:count]
    return scores.popleft() if error or not scores[0].rows else None


def _wake(item: _Waiting, error: str | None) -> None:
    if item.committed.done():
        return
    if error is None:
        item.committed.set_result(None)
    else:
        item.committed.set_exception(LogUnavailable(error))
