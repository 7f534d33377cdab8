"""Work by partition: submitted, followed and, where something broke, told with the partition's name."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

from accidents.errors import AccidentsError
from accidents.progress import track
from accidents.source_code import running_version
from engine.cluster import client_of, disconnect
from engine.errors import ClusterError
from engine.settings import DaskSettings

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")
Named = Sequence[tuple[str, tuple[Any, ...]]]  # what each piece of work is called, and its arguments
RECONNECTIONS = 3  # to a scheduler that was started anew, before the run gives up
TICK = 1.0  # seconds between looks
# A piece of work that takes so many times as long as the others did, and so many seconds, is begun a second
# time on another worker; whichever ends first counts.
SLOW, SLOW_SECONDS = 4.0, 20.0
SMALLER_PARTITIONS = "lower `dask.partition_rows`"
_NO_MEMORY_HERE = "this process has too little memory for it: run it on a machine, or in a pod, with more."


class PartitionError(AccidentsError):
    """A partition could not be worked on: the message says which, and why."""


class LostError(Exception):
    """The scheduler is gone, or the connection to it, or all workers are."""


def each(
    settings: DaskSettings,
    work: Callable[..., T],
    named: Named,
    what: str,
    saves_memory: str = SMALLER_PARTITIONS,
) -> list[T]:
    """Do `work(*arguments)` for each of `named`, on whichever worker is free; results in their order.

    They are begun in the order of `named`: what takes longest belongs first, where pieces are few.
    Work that was lost with its worker is done again by another; where the scheduler was started anew, or
    workers after all were gone for `settings.wait_seconds`, what is not done yet is. So `work` may be done
    twice, also at once, and what it writes it writes whole.

    Parameters
    ----------
    saves_memory : what to do, other than to give workers more memory, where a piece does not fit; empty:
        nothing.

    Raises
    ------
    PartitionError : naming what failed, and why; what was not begun is not begun any more.
    ClusterError : the cluster is gone and does not come back.
    """
    done: dict[int, T] = {}
    results = _again_while_lost(settings, work, named, what, done, saves_memory)
    progress = track(results, what, len(named))
    for at, result in progress:
        done[at] = result
    return [done[at] for at in range(len(named))]


def one_by_one(work: Callable[..., T], named: Named, what: str) -> list[T]:
    """Do as `each` does, but in this process, one after another: what no worker elsewhere could do.

    Raises PartitionError naming what failed, and why.
    """
    return [_do_named(name, work, arguments, _NO_MEMORY_HERE) for name, arguments in track(named, what)]


def reduced(
    settings: DaskSettings, work: Callable[..., T], named: Named, add: Callable[[T, T], T], what: str
) -> T:
    """Do `work` for each, and add up what it gives, in any order.

    Eight at a time are added on a worker, these sums here as they come: none but the total is kept.
    """
    groups = [named[start : start + 8] for start in range(0, len(named), 8)]
    sums = [(f"{group[0][0]} to {group[-1][0]}", (work, list(group), add)) for group in groups]
    total: T | None = None
    done: dict[int, None] = {}
    for at, summed in track(_again_while_lost(settings, _summed, sums, what, done), what, len(sums)):
        done[at], total = None, summed if total is None else add(total, summed)
    if total is None:
        raise ValueError("nothing to add up")
    return total


def _summed(work: Callable[..., T], named: Named, add: Callable[[T, T], T]) -> T:
    ours = running_version()
    done = (_do(name, work, arguments, ours, SMALLER_PARTITIONS)[0] for name, arguments in named)
    total: T = reduce(add, done)
    return total


def _again_while_lost(
    settings: DaskSettings,
    work: Callable[..., T],
    named: Named,
    what: str,
    done: Mapping[int, object],
    saves_memory: str = SMALLER_PARTITIONS,
) -> Iterator[tuple[int, T]]:
    lost: Exception | None = None
    for _ in range(1 + RECONNECTIONS):
        waiting = [at for at in range(len(named)) if at not in done]
        try:
            client = client_of(settings)
            following = _Following(client, work, named, what, settings.wait_seconds, saves_memory)
            yield from following.results(waiting)
            return
        except (LostError, OSError) as error:  # what the work raises is a PartitionError, never an OSError
            lost = error
            disconnect(settings)  # the next connection waits for scheduler and workers, or starts them here
    raise ClusterError(
        f"{what}: the Dask cluster was lost {1 + RECONNECTIONS} times (at last: {lost}); {len(done)} of "
        f"{len(named)} parts are done. Run the command again: what is written is not written again."
    )


@dataclass
class _Following(Generic[T]):
    """Work under way, and which piece each future is of."""

    client: Client
    work: Callable[..., T]
    named: Named
    what: str
    wait_seconds: float
    saves_memory: str = SMALLER_PARTITIONS
    pending: dict[Future, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    twice: set[int] = field(default_factory=set)

    def results(self, waiting: Sequence[int]) -> Iterator[tuple[int, T]]:
        """Yield (which, result) as they come."""
        try:
            for at in waiting:
                self._submit(at)
            heard = manned = time.monotonic()
            while self.pending:
                finished = self._finished()
                for future in finished:
                    if future not in self.pending:
                        continue  # its twin was faster
                    at = self.pending.pop(future)
                    if future.status == "error" and at in self.pending.values():
                        continue  # its twin may still end well
                    result, seconds = self._result(future, at)
                    self.seconds.append(seconds)
                    self._drop(at)
                    yield at, result
                if finished or self.client.nthreads():
                    manned = time.monotonic()
                elif time.monotonic() - manned > self.wait_seconds:
                    raise LostError(f"no worker for {self.wait_seconds:g} s")
                if finished:
                    heard = time.monotonic()
                elif self._is_slow(time.monotonic() - heard):
                    self._begin_again()
        finally:
            self._cancel(list(self.pending))

    def _submit(self, at: int, **how: Any) -> None:
        name, arguments = self.named[at]
        # Trap: an idle worker takes over what waits at another only of work whose duration Dask knows, and
        # it knows it by a tuple's first part, or by a whole text.
        key = (self.what, name, uuid4().hex[:12])
        given = (name, self.work, arguments, running_version(), self.saves_memory)
        self.pending[self.client.submit(_do, *given, key=key, pure=False, **how)] = at

    def _finished(self) -> list[Future]:
        return [future for future in self._looked_at() if future.done()]

    def _looked_at(self) -> list[Future]:
        from distributed import CancelledError, wait

        try:
            # Trap: `wait` asks the current client, which ours is only in here, and not the futures' own.
            with self.client.as_current():
                wait(list(self.pending), timeout=TICK, return_when="FIRST_COMPLETED")
        except (TimeoutError, CancelledError):  # of what is cancelled its future tells
            pass
        except Exception as error:
            self._raise_if_lost(error)
            raise
        self._raise_if_lost(None)
        return list(self.pending)

    def _raise_if_lost(self, error: BaseException | None) -> None:
        if self.client.status != "running":
            raise LostError(f"{type(error).__name__}: {error}" if error else "no connection")

    def _result(self, future: Future, at: int) -> tuple[T, float]:
        from distributed import KilledWorker

        name = self.named[at][0]
        try:
            answer: tuple[T, float] = future.result()
            return answer
        except AccidentsError:
            raise
        except KilledWorker as error:
            raise PartitionError(
                f"{self.what}, {name}: {error.allowed_failures + 1} workers ended while they had it, the "
                f"last at {error.last_worker.address}. If they needed too much memory, raise "
                f"`dask.local.memory_limit` (or the workers' own){_or(self.saves_memory)}; their logs tell."
            ) from None
        except BaseException as error:
            if future.status in ("cancelled", "lost"):
                raise LostError(str(error)) from None
            if future.status == "error":  # nothing of ours: `_do` names what is wrong with a piece
                raise PartitionError(
                    f"{self.what}, {name}: a worker could not begin it ({_in_short(error)}). Has one of "
                    "other code come since the run began? Start workers again, from the same image or in a "
                    "copy of this folder with the same packages; then run the command again."
                ) from error
            raise

    def _drop(self, at: int) -> None:
        """Let go of the second future of a piece that was begun twice."""
        others = [future for future, which in self.pending.items() if which == at]
        for future in others:
            del self.pending[future]
        self._cancel(others)

    def _cancel(self, futures: list[Future]) -> None:
        if futures and self.client.status == "running":
            self.client.cancel(futures, force=True)

    def _is_slow(self, silent: float) -> bool:
        """Whether all that is left has been waited for much longer than a piece takes."""
        if not self.seconds:
            return False
        usual = max(SLOW_SECONDS, SLOW * statistics.median(self.seconds))
        return silent > usual and any(at not in self.twice for at in self.pending.values())

    def _begin_again(self) -> None:
        """Begin what runs slowly a second time, on any worker but the one that has it."""
        where = {tuple(key): worker for worker, keys in self.client.processing().items() for key in keys}
        workers = set(self.client.scheduler_info(n_workers=-1)["workers"])
        for future, at in list(self.pending.items()):
            others = workers - {where.get(future.key)}
            if at not in self.twice and future.key in where and others:
                self.twice.add(at)
                self._submit(at, workers=sorted(others))


def _do(
    name: str, work: Callable[..., T], arguments: tuple[Any, ...], code: str, saves_memory: str
) -> tuple[T, float]:
    """Do one piece, on a worker that runs this `code`; whatever is wrong is told with its name."""
    started = time.monotonic()
    remedy = f"the worker has too little memory. Raise its limit{_or(saves_memory)}."
    if code != _do_named(name, running_version, (), remedy):  # one that has come since the run began
        raise PartitionError(f"Partition {name}: its worker runs other code than this run: start it again.")
    return _do_named(name, work, arguments, remedy), time.monotonic() - started


def _do_named(name: str, work: Callable[..., T], arguments: tuple[Any, ...], no_memory: str) -> T:
    """Do one piece; whatever is wrong is told with its name."""
    try:
        return work(*arguments)
    except MemoryError:
        raise PartitionError(f"Partition {name}: {no_memory}") from None
    except PartitionError:
        raise
    except AccidentsError as error:
        raise PartitionError(f"Partition {name}: {error}") from error
    except Exception as error:
        raise PartitionError(f"Partition {name}: {_in_short(error)}") from error


def _in_short(error: BaseException) -> str:
    first = (str(error).strip() or "no reason given").splitlines()[0]
    return f"{type(error).__name__}: {first}"


def _or(remedy: str) -> str:
    return f", or {remedy}" if remedy else ""
