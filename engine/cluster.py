"""The cluster: started here or in Kubernetes, or one that runs already; and the connection to it."""

from __future__ import annotations

import asyncio
import atexit
import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from accidents.errors import SettingsError
from accidents.source_code import running_version
from engine.errors import ClusterError
from engine.settings import DaskSettings, KubernetesWorkers
from engine.worker_environment import MALLOC

if TYPE_CHECKING:
    from distributed import Client

PAUSE = 0.2  # seconds between two tries to connect
PATIENCE = 15.0  # seconds for each thing that a worker is asked beside its pieces
_OPEN: dict[str, tuple[Any, Client]] = {}  # by settings: a run's steps are in one process, or each in its own


def client_of(settings: DaskSettings) -> Client:
    """Connect to the cluster, which is started first if it is on this machine or in pods of the run's own.

    The connection stays until the process ends. Raises ClusterError if there is none, SettingsError without
    Dask.
    """
    key = _key(settings)
    if key not in _OPEN or _OPEN[key][1].status != "running":
        disconnect(settings)
        _OPEN[key] = _connected(settings)
    return _OPEN[key][1]


def disconnect(settings: DaskSettings) -> None:
    """Let the connection go, and end what was started here for it."""
    key = _key(settings)
    if key in _OPEN:
        _close(*_OPEN.pop(key))


def _key(settings: DaskSettings) -> str:
    return settings.model_dump_json(include={"scheduler", "local", "kubernetes", "wait_seconds"})


def dashboard_of(client: Client) -> str:
    """Return the address of the dashboard; an empty one where the scheduler has none."""
    return str(client.dashboard_link or "")


def _connected(settings: DaskSettings) -> tuple[Any, Client]:
    try:
        from distributed import Client
    except ImportError as error:
        raise SettingsError(
            f"`engine: dask` needs Dask, which is not installed ({error.name}): `make dask` installs it."
        ) from None
    logging.getLogger("distributed").setLevel(logging.ERROR)  # it tells each start and each connection
    if settings.kubernetes is not None:
        return _in_kubernetes(settings.kubernetes, settings)
    cluster = _local_cluster(settings) if settings.scheduler is None else None
    client = Client(cluster, set_as_default=False) if cluster else _client_of_scheduler(settings)
    try:
        _require_workers(client, settings)
    except BaseException:
        _close(cluster, client)
        raise
    return cluster, client


def _in_kubernetes(workers: KubernetesWorkers, settings: DaskSettings) -> tuple[Any, Client]:
    from engine.kubernetes_cluster import KubernetesCluster

    cluster, client = KubernetesCluster(workers), None
    try:
        where = {"scheduler": cluster.start(), "kubernetes": None}
        client = _client_of_scheduler(settings.model_copy(update=where))
        cluster.wait_for_workers(client)
        workers_of_our_code(client, settings.wait_seconds)
    except BaseException:
        _close(cluster, client)
        raise
    return cluster, client


def _client_of_scheduler(settings: DaskSettings) -> Client:
    """Connect to a scheduler, which may be starting: it may end a connection before it answers."""
    from distributed import Client

    deadline = time.monotonic() + settings.wait_seconds
    while True:
        left = max(deadline - time.monotonic(), PAUSE)
        try:
            asyncio.run(asyncio.wait_for(_identity(settings, left), left + 1))
            return Client(settings.scheduler, timeout=left, set_as_default=False)
        except TypeError:
            raise SettingsError(
                f"dask.scheduler: {settings.scheduler} needs certificates, which Dask's own configuration "
                "names (distributed.comm.tls)."
            ) from None
        except OSError as error:
            if time.monotonic() + PAUSE > deadline:
                raise ClusterError(
                    f"No Dask scheduler answers at {settings.scheduler} within {settings.wait_seconds:g} s "
                    f"({type(error).__name__}). Is it running, and is `dask.scheduler` its address (not its "
                    "dashboard's)?"
                ) from None
        time.sleep(PAUSE)


async def _identity(settings: DaskSettings, seconds: float) -> Any:
    """Ask the scheduler who it is: where something else listens, a `Client` would wait for ever."""
    from distributed.core import rpc
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    async with rpc(settings.scheduler, timeout=seconds, connection_args=arguments) as scheduler:
        return await scheduler.identity()


def _require_workers(client: Client, settings: DaskSettings) -> None:
    """Raise ClusterError if there is no worker in time, or one of other code."""
    try:
        client.wait_for_workers(1, timeout=settings.wait_seconds)
    except TimeoutError:
        if settings.scheduler is None:
            remedy = "raise `dask.wait_seconds` if this machine is busy, or lower `dask.local.workers`"
            where = "here"
        else:
            remedy = f"start some, such as `dask worker {settings.scheduler}`"
            where = f"at {settings.scheduler}"
        raise ClusterError(
            f"The Dask scheduler {where} has had no worker for {settings.wait_seconds:g} s: {remedy}."
        ) from None
    if settings.scheduler is not None:
        workers_of_our_code(client, settings.wait_seconds)


def _local_cluster(settings: DaskSettings) -> Any:
    import dask
    from distributed import LocalCluster

    workers = settings.workers
    memory: Any = workers.memory_limit
    # What a worker cannot hold it puts here, and it goes with the cluster.
    scratch = tempfile.mkdtemp(prefix="dask-")
    dask.config.set({"temporary-directory": scratch})
    dask.config.set({f"distributed.nanny.pre-spawn-environ.{name}": size for name, size in MALLOC.items()})
    try:
        return LocalCluster(
            n_workers=workers.workers,
            threads_per_worker=workers.threads,
            memory_limit=memory,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            silence_logs=logging.ERROR,
        )
    except RuntimeError as error:
        raise ClusterError(
            f"Dask workers do not start on this machine ({error}). Is there memory and room on the disk for "
            f"{workers.workers} (`dask.local.workers`)?"
        ) from error


def workers_of_our_code(client: Client, wait_seconds: float) -> list[str]:
    """Return the workers that answer.

    Raises ClusterError if some run other code, as results would be of neither, or if none answers.
    """
    ours, codes = running_version(), _codes(client, wait_seconds)
    others = {worker: theirs for worker, theirs in codes.items() if theirs != ours}
    if others:
        worker, theirs = next(iter(others.items()))
        raise ClusterError(
            f"{len(others)} Dask workers run other code than this ({ours}), such as {worker} ({theirs}). "
            "Start them again, from the same image, or in a copy of this folder with the same packages."
        )
    return list(codes)


def _codes(client: Client, wait_seconds: float) -> dict[str, Any]:
    """Ask every worker for its code; an error where it cannot be imported.

    One that is gone, which the scheduler lists for a while, hangs or takes more than `PATIENCE` is left out:
    who does its work is asked again with each piece. Where none answers they are asked again, as imports may
    take long on a busy machine. Raises ClusterError if none has answered after `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        there = answers_of(client, _done_or_why_not, running_version, seconds=min(PATIENCE, wait_seconds))
        answers = {worker: code for worker, code in there.items() if not isinstance(code, OSError)}
        if answers:
            return answers
        if time.monotonic() > deadline:
            worker, error = next(iter(there.items()), ("none is left", "it has gone"))
            raise ClusterError(
                f"None of {len(there)} Dask workers that the scheduler knows answers within {wait_seconds:g} "
                f"s, such as {worker} ({error}). Do they run, and does the scheduler reach them?"
            )
        time.sleep(PAUSE)


def _done_or_why_not(work: Callable[[], Any]) -> Any:
    """Return what it returns, or what is wrong with a file, which is no sign that a worker is gone."""
    try:
        return work()
    except OSError as error:
        return f"{type(error).__name__}: {error}"


def answers_of(
    client: Client,
    work: Callable[..., Any],
    *arguments: Any,
    workers: list[str] | None = None,
    seconds: float,
) -> dict[str, Any]:
    """Have workers, or all, do this beside their pieces: what each returned, or the exception instead.

    An OSError, of which TimeoutError is one, says that a worker is gone or hangs. Each is asked for itself:
    `Client.run` of all waits for ever for one that hangs, and the others' answers with it.
    """

    async def answer_of(worker: str) -> Any:
        asked = client.run(work, *arguments, workers=[worker], on_error="return")  # awaitable in its loop
        try:
            return (await asyncio.wait_for(asked, seconds))[worker]
        except TimeoutError:
            return TimeoutError(f"no answer within {seconds:g} s")

    async def all_answers(asked: list[str]) -> dict[str, Any]:
        return dict(zip(asked, await asyncio.gather(*map(answer_of, asked)), strict=True))

    known = list(client.scheduler_info(n_workers=-1)["workers"]) if workers is None else workers
    return dict(client.sync(all_answers, known))


@atexit.register
def disconnect_all() -> None:
    """Let every connection go: at a command's end, before its temporary folders go."""
    for key in list(_OPEN):
        _close(*_OPEN.pop(key))


def _close(cluster: Any, client: Client | None) -> None:
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it tells each worker's end
    if client is not None:
        with suppress(Exception):
            client.close(timeout=5)
    if cluster is not None:
        with suppress(Exception):
            cluster.close(timeout=10)
