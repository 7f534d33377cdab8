"""POST /hooks/alert: what Alertmanager sends, and the loops that it may start, one at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, Field

from accidents.errors import BusyError
from accidents.predictions.database_tables import PredictionLogError
from accidents.predictions.store import HOOK, LOOP, PredictionStore
from serving.api.errors import ApiError
from serving.api.operations.metrics import HOOKS, LOOP_RUNNING, LOOPS
from serving.api.processes import METRICS_FOLDER

_LOG = logging.getLogger(__name__)
_LOG_BYTES = 1_000_000  # then the loop's log is put aside, in place of the one before
_BUSY = BusyError.exit_code  # somebody else's loop runs: that is no failure of this one
_SHOWN = 200  # characters of alerts' names that are written down
Outcome = Literal["started", "running", "paused", "not needed"]
Words = tuple[str, ...]
LoopCall = tuple[Words, list[str]]  # a command, and the alerts that ask for it


class _Lenient(BaseModel):
    """A part of a body whose further fields are left alone: another Alertmanager may send some."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Alert(_Lenient):
    """One alert."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = Field(
        description="`loop: start` on a firing one starts the loop, of the model that `model` names."
    )

    @property
    def asks(self) -> bool:
        """Whether it asks for the loop."""
        return self.status == "firing" and self.labels.get("loop") == "start"


class Notification(_Lenient):
    """What Alertmanager posts to a webhook, version 4."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "version": "4",
                "groupKey": '{}:{alertname="EndpointNotReady"}',
                "status": "firing",
                "receiver": "loop",
                "alerts": [
                    {"status": "firing", "labels": {"alertname": "EndpointNotReady", "loop": "start"}}
                ],
            }
        }
    )

    version: Literal["4"]
    groupKey: str = Field(min_length=1)  # noqa: N815 - as Alertmanager writes it
    status: Literal["firing", "resolved"]
    receiver: str
    alerts: list[Alert] = Field(min_length=1)


class Hook:
    """Starts the loop: one at a time, and not again within `pause` seconds, of all APIs of a store.

    Parameters
    ----------
    command : its words.
    commands : others, by the label `model` of an alert. Where alerts ask for several, they run one after the
        other, for a store has one loop at a time.
    log : where its output goes. Beside it lies a lock that the loop inherits, so that also an API that was
        started anew in the meantime knows that it runs; the system lets go of it with the loop.
    store : says what APIs and loops of other machines do.
    """

    def __init__(
        self,
        command: Sequence[str],
        commands: Mapping[str, Sequence[str]],
        pause: float,
        log: Path,
        store: PredictionStore,
    ) -> None:
        self._command, self._commands = tuple(command), commands
        self._pause, self._log, self._store = pause, log, store
        self._lock = log.with_name(f"{log.stem}.hook.lock")

    def take(self, notification: Notification) -> Outcome:
        """Start the loop if an alert asks for it. Raises ApiError where it cannot be started."""
        asked = self._asked(notification)
        try:
            outcome = self._start(asked) if asked else "not needed"
        except (OSError, PredictionLogError) as error:
            self._failed(error)
            raise ApiError(
                "loop_unavailable", "The loop cannot be started. The API's log says why."
            ) from None
        HOOKS.labels(outcome.replace(" ", "_")).inc()
        return outcome

    def _asked(self, notification: Notification) -> dict[Words, list[str]]:
        """Return the commands that alerts ask for, each with the names of those alerts."""
        asked: dict[Words, list[str]] = {}
        for alert in notification.alerts:
            if alert.asks:
                words = tuple(self._commands.get(alert.labels.get("model", ""), self._command))
                asked.setdefault(words, []).append(alert.labels.get("alertname", "?"))
        return asked

    def _start(self, asked: Mapping[Words, list[str]]) -> Outcome:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return "running"
            if 0 <= time.time() - _last_start(lock) < self._pause:
                return "paused"
            if self._store.holder(LOOP):
                return "running"
            give_back = self._store.claim(HOOK, self._pause)
            if give_back is None:
                return "paused"
            try:
                self._launch(lock, asked)
            except OSError:
                give_back()
                raise
        return "started"

    def _launch(self, lock: IO[bytes], asked: Mapping[Words, list[str]]) -> None:
        first, *others = asked.items()
        process = self._run(lock.fileno(), *first)
        lock.truncate(0)
        lock.write(str(time.time()).encode())
        LOOP_RUNNING.set(1)
        kept = os.dup(lock.fileno()) if others else None  # between two loops it is not free
        threading.Thread(target=self._see_out, args=(process, others, kept), daemon=True).start()

    def _see_out(
        self, process: subprocess.Popen[bytes], others: Sequence[LoopCall], lock: int | None
    ) -> None:
        """Wait for a loop's end, and have the others run, one after the other."""
        self._reap(process)
        if lock is not None:
            self._run_others(others, lock)
        LOOP_RUNNING.set(0)

    def _run_others(self, others: Sequence[LoopCall], lock: int) -> None:
        try:
            for words, asking in others:
                self._reap(self._run(lock, words, asking))
        except OSError as error:
            self._failed(error)
        finally:
            os.close(lock)

    def _run(self, lock: int, words: Words, asking: Sequence[str]) -> subprocess.Popen[bytes]:
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            os.replace(self._log, self._log.with_name(f"{self._log.name}.1"))
        names = ascii(", ".join(sorted(set(asking))))[:_SHOWN]  # they come from outside: no line breaks
        # What the loop measures is none of our metrics, and their folder goes with us.
        environment = {name: value for name, value in os.environ.items() if name != METRICS_FOLDER}
        with self._log.open("ab") as log:
            log.write(f"--- {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, alerts: {names}\n".encode())
            log.flush()
            return subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                pass_fds=[lock], env=environment,
            )  # fmt: skip

    def _failed(self, error: Exception) -> None:
        HOOKS.labels("failed").inc()
        _LOG.error("The loop cannot be started: %s", error)

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for its end: a child nobody waits for stays as a zombie."""
        code = process.wait()
        exit_words = {0: "ok", _BUSY: "busy"}
        LOOPS.labels(exit_words.get(code, "failed")).inc()
        if code not in exit_words:
            _LOG.error("The loop ended with exit code %s: see %s", code, self._log)


def _last_start(lock: IO[bytes]) -> float:
    """Seconds since 1970; 0 where there was none, or what stands there is no time."""
    lock.seek(0)
    try:
        return float(lock.read(100) or 0)
    except ValueError:
        return 0.0
