"""Work of which several workers do a part each, at the same time, and which one that is lost ends for all.

Other than `engine.tasks.each`, whose pieces any worker does: here each worker keeps what it has made for what
comes next, and no other takes its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from accidents.errors import AccidentsError
from accidents.source_code import running_version
from engine.errors import ClusterError
from engine.settings import DaskSettings
from engine.tasks import TICK, LostError

if TYPE_CHECKING:
    from distributed import Client, Future


@dataclass
class Team:
    """Workers, by address, and how long one of them may be without memory to begin."""

    client: Client
    workers: list[str]
    wait_seconds: float
    idle_since: dict[str, float] = field(default_factory=dict)
    kept: list[Future] = field(default_factory=list)

    @classmethod
    def of(cls, client: Client, settings: DaskSettings) -> Team:
        """Choose as many workers as share a bag. Raises ClusterError if there are too few."""
        count = settings.workers_per_bag
        with suppress(TimeoutError):  # told below
            client.wait_for_workers(count, timeout=settings.wait_seconds)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        able = sorted(address for address, worker in workers.items() if worker["nanny"])
        if len(able) < count:
            raise ClusterError(
                f"`dask.workers_per_bag` is {count}, and the cluster has {len(able)} workers with a nanny "
                f"({len(workers)} in all): start more, without --no-nanny, or lower it. Only a nanny ends a "
                "worker that waits for one that was lost."
            )
        return cls(client, able[:count], settings.wait_seconds)

    @property
    def threads(self) -> int:
        """How many threads each of them has at least."""
        return min(int(count) for count in self.client.nthreads(self.workers).values())

    def do(self, what: str, work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Future]:
        """Do `work` on each worker, with arguments of its own; wait, and leave what it gives there.

        Raises
        ------
        LostError : a worker ended, or has no memory left to begin.
        ClusterError : naming the worker whose work failed, and why.
        """
        code = running_version()
        futures = [
            self.client.submit(
                _do, code, work, given, key=(what, worker, uuid4().hex[:12]), workers=[worker], pure=False
            )
            for worker, given in zip(self.workers, arguments, strict=True)
        ]
        self.kept += futures
        try:
            self._wait(what, dict(zip(self.workers, futures, strict=True)))
        except BaseException:
            if self.client.status == "running":
                self.client.cancel(futures, force=True)
            raise
        return futures

    def keep(self, futures: Sequence[Future]) -> None:
        """Have the workers let go of what they made, but for this."""
        # Trap: a future that was waited for is in a cycle, so without a word it stays until Python collects.
        for future in self.kept:
            if future not in futures and self.client.status == "running":
                future.release()
        self.kept = list(futures)

    def read(self, futures: Sequence[Future], name: str) -> list[Any]:
        """Read an attribute of what each worker has kept."""
        asked = self.do(f"Asking for {name}", getattr, [(future, name) for future in futures])
        return list(self.client.gather(asked))

    def restart(self) -> None:
        """End what the workers do, however deep inside a library; their nannies start them again."""
        with suppress(Exception):  # what made this necessary is told
            left = [worker for worker in self.workers if worker in self._running()]
            self.client.restart_workers(left, timeout=self.wait_seconds, raise_for_error=False)

    def _wait(self, what: str, pending: dict[str, Future]) -> None:
        from distributed import CancelledError, wait

        while pending:
            with suppress(TimeoutError, CancelledError), self.client.as_current():
                wait(list(pending.values()), timeout=TICK, return_when="FIRST_COMPLETED")
            running = self._running()
            for worker, future in pending.items():
                if future.status == "error":
                    raise ClusterError(f"{what}, worker {worker}: {_reason(future.exception())}")
                if worker not in running or future.status in ("cancelled", "lost"):
                    raise LostError(f"{what}: worker {worker} ended")
                self._require_memory(what, worker, running[worker])
            pending = {worker: future for worker, future in pending.items() if not future.done()}

    def _require_memory(self, what: str, worker: str, state: dict[str, Any]) -> None:
        """Raise LostError if a worker has been paused, and done nothing, for long: Dask gives it no work."""
        if state["status"] != "paused" or state["metrics"]["task_counts"].get("executing"):
            self.idle_since.pop(worker, None)
        elif time.monotonic() - self.idle_since.setdefault(worker, time.monotonic()) > self.wait_seconds:
            raise LostError(f"{what}: worker {worker} has no memory left for it")

    def _running(self) -> dict[str, Any]:
        try:
            if self.client.status == "running":
                return dict(self.client.scheduler_info(n_workers=-1)["workers"])
        except OSError:
            pass
        raise LostError("the connection to the scheduler is gone")


def _do(code: str, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if code != running_version():
        raise ClusterError("it runs other code than this run: start it again")
    return work(*arguments)


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it has too little memory. Raise its limit, or `dask.workers_per_bag`."
    first = (str(error).strip() or "no reason given").splitlines()[0]
    return first if isinstance(error, AccidentsError) else f"{type(error).__name__}: {first}"
