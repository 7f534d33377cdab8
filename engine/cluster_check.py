"""Whether a cluster can be worked on: its workers run our code, and all see the folder of partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from accidents.data.storage import join, read_bytes, remove, write_bytes
from accidents.errors import AccidentsError
from engine.cluster import PATIENCE, answers_of, client_of, workers_of_our_code
from engine.errors import ClusterError
from engine.settings import DaskSettings

if TYPE_CHECKING:
    from distributed import Client

ANSWER = 45.0  # seconds more for a busy worker, which answered a moment ago, to say that it took too long
FOLDER = (
    "Name a `dask.folder` that every worker and this machine see, such as s3://bucket/folder with a login in "
    "their environment."
)


def reach(settings: DaskSettings) -> str:
    """Connect to the scheduler, ask its workers for their code, and say how many there are.

    Where a run starts a scheduler of its own in Kubernetes: say that it could. Raises ClusterError.
    """
    if settings.kubernetes is not None:
        from engine.kubernetes_cluster import can_start

        return can_start(settings.kubernetes)
    workers, silent = _who_answers(client_of(settings), settings.wait_seconds)
    return f"{settings.scheduler} answers, with {len(workers)} workers of our code{_but(silent)}"


def share_folder(settings: DaskSettings) -> str:
    """Have a worker write a file, and every worker and this process read it; say where, and remove it.

    Raises ClusterError naming who cannot.
    """
    client, folder = client_of(settings), settings.folder_address
    file, content = join(folder, f"check-{uuid4().hex}"), uuid4().hex.encode()
    workers, silent = _who_answers(client, settings.wait_seconds)
    try:
        written = _done_by_one(client, workers, partial(write_bytes, file, content))
        _require(written, None, f"write to {folder}")
        read = _done_by(client, workers, partial(read_bytes, file))
        here = {"This process": _done(partial(read_bytes, file))}
        _require(read | here, content, f"read what {next(iter(written))} wrote to {folder}")
    finally:
        with suppress(Exception):  # what is wrong has been told
            _done_by_one(client, workers, partial(remove, file))
    return f"one of {len(workers)} workers wrote to {folder}, and all and this process read it{_but(silent)}"


def _who_answers(client: Client, wait_seconds: float) -> tuple[list[str], list[str]]:
    """Return the workers that answer, and those that the scheduler lists and that do not.

    Raises ClusterError if none does, or one is of other code, as one may be that has come since.
    """
    listed, there = client.scheduler_info(n_workers=-1)["workers"], workers_of_our_code(client, wait_seconds)
    return there, [worker for worker in listed if worker not in there]


def _but(silent: list[str]) -> str:
    return f"; no answer comes from {len(silent)} more, such as {silent[0]}" if silent else ""


def require_seen(settings: DaskSettings, file: str, content: bytes, remedy: str) -> None:
    """Raise ClusterError with the remedy if a worker does not find a file as this process does."""
    client = client_of(settings)
    workers, _ = _who_answers(client, settings.wait_seconds)
    answers = _done_by(client, workers, partial(read_bytes, file))
    _require(answers, content, f"read {file} as this process does", remedy)


def _done_by(client: Client, workers: list[str], work: Callable[[], Any]) -> dict[str, Any]:
    """Return what comes out on each worker, or what is wrong there.

    Of one that is gone by now, as workers that come and go, nothing is told: others do its work.
    """
    answers = answers_of(client, _done_there, work, workers=workers, seconds=PATIENCE + ANSWER)
    return {worker: answer for worker, answer in answers.items() if not isinstance(answer, Exception)}


def _done_by_one(client: Client, workers: list[str], work: Callable[[], Any]) -> dict[str, Any]:
    """Return what comes out on the first worker that is not gone. Raises ClusterError if all are."""
    for worker in workers:
        if answer := _done_by(client, [worker], work):
            return answer
    raise ClusterError(f"None of {len(workers)} Dask workers that the scheduler knows answers. Do they run?")


def _require(answers: dict[str, Any], expected: bytes | None, what: str, remedy: str = FOLDER) -> None:
    for who, answer in answers.items():
        if answer != expected:
            finding = "it finds another there" if isinstance(answer, bytes) else answer
            raise ClusterError(f"{who} cannot {what}: {finding}. {remedy}")


async def _done_there(work: Callable[[], Any]) -> Any:
    """Do it on a worker, beside the partitions that it works on; return what came out, or what is wrong."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(_done, work), PATIENCE)
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"


def _done(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except AccidentsError as error:
        return str(error).rstrip(".")
    except Exception as error:  # whatever a store's client raises
        return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(".")
