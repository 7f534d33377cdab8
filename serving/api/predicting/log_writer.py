"""Puts predictions into the log before they are answered, many in one commit.

One thread writes. While it commits, further predictions wait in a queue; all that wait go into the next
transaction (group commit), so that one flush to the disk carries the load of the moment. A shadow's scores go
with it: a transaction of their own would have predictions wait for its flush, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from accidents.errors import AccidentsError
from accidents.predictions.prediction_log import Prediction, PredictionLog, PredictionLogError, Row, to_row
from accidents.predictions.shadow import ShadowScore, to_shadow_row

LOGGER = logging.getLogger(__name__)
STOP_PATIENCE = 10.0  # seconds that `stop` gives the last commits
_SCORES_WAIT = 0.05  # seconds that scores wait for predictions to go with


class LogUnavailable(AccidentsError):  # noqa: N818 - a state, not a mistake
    """A prediction was not confirmed to be in the log, so it must not be answered."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """What one `add_many` or `add_scores` brought, and whom to tell."""

    rows: list[Row]
    committed: asyncio.Future[None]
    scores: bool = False


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
        """Return once these of a shadow are committed, all of them in one transaction.

        Raises LogUnavailable or PredictionLogError, as `add_many` does. Predictions wait as long as the
        transaction takes that they go into: add some tens at a time.
        """
        if self._loop is None:
            raise LogUnavailable("The prediction log is not open: the API is starting or ending.")
        if not self._log.has_one_writer:
            await asyncio.to_thread(self._log.write_shadow, scores)
            return
        rows = [to_shadow_row(score) for score in scores]
        item = _Waiting(rows, self._loop.create_future(), scores=True)
        self._queue.put(item)
        await item.committed

    def _write_all(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        """Write in a thread of its own, one transaction after another, until `stop`."""
        stopping = False
        while not stopping:
            items, stopping = self._take()
            if items:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(self._tell, items, *self._commit(items))
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set_result, None)

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Wait for something, then take all there is; whether the end is among it."""
        items = [self._queue.get()]
        if items[0] is not None and items[0].scores:
            with contextlib.suppress(Empty):
                items.append(self._queue.get(timeout=_SCORES_WAIT))
        while not self._queue.empty():
            items.append(self._queue.get())
        return [item for item in items if item is not None], None in items

    def _commit(self, items: Sequence[_Waiting]) -> tuple[int, float, str | None]:
        """Predictions written, seconds it took, and what went wrong if something did."""
        # Whoever gave up waiting was told that it failed; `done` is a plain flag, safe to read from here.
        rows, scores = list[Row](), list[Row]()
        for item in items:
            if not item.committed.done():
                (scores if item.scores else rows).extend(item.rows)
        begun = time.perf_counter()
        try:
            self._log.write_rows(rows, scores)
        except PredictionLogError as error:
            return 0, 0.0, str(error)
        except Exception as error:  # a defect, but the thread must live: without it nothing is answered
            LOGGER.exception("Writing to the prediction log failed")
            return 0, 0.0, f"The prediction log failed: {type(error).__name__}. See the API's own log."
        return len(rows), time.perf_counter() - begun, None

    def _tell(self, items: Sequence[_Waiting], records: int, seconds: float, error: str | None) -> None:
        """On the loop: count, and wake who waits."""
        self.waiting -= sum(len(item.rows) for item in items if not item.scores)
        self._count(records, seconds, error)
        for item in items:
            if item.committed.done():
                continue
            if error is None:
                item.committed.set_result(None)
            else:
                item.committed.set_exception(LogUnavailable(error))

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
