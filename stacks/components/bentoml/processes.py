"""BentoML's processes: one that proves a Bento beside what serves, and those that ZenML has lost sight of."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from stacks.components.bentoml.bento_stores import BentoHome, BentoTag, environment, last_error
from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.ports import HOST, choose_ports
from stacks.errors import StackError
from stacks.processes import end, start

_FAILED = "Application startup failed"  # what a worker says then
# As they stand in a command: ZenML's daemon, which is BentoML's arbiter, a worker, and `bentoml serve`.
_PROGRAMS = {"zenml.services.local.local_daemon_entrypoint", "_bentoml_impl.worker.service", "bentoml"}


@contextmanager
def served_aside(home: BentoHome, tag: BentoTag, timeout: float) -> Iterator[ModelServerClient]:
    """`bentoml serve` on a port of its own, until the block ends. Raises StackError if it does not answer."""
    log, port = home.folder / "proof.log", choose_ports({"port": 0})["port"]
    words = ["-m", "bentoml", "serve", str(tag), "--host", HOST, "--port", str(port)]
    process = start([sys.executable, *words], home.folder, environment(home.folder), log)
    try:
        wait_until_listening(tag, lambda: process.pid if process.poll() is None else None, port, log, timeout)
        client = ModelServerClient(port)
        wait_until_ready(client, tag.name, timeout)
        yield client
    finally:
        end(psutil.Process(process.pid))
        process.wait()


def strays(home: BentoHome, known: Set[int]) -> list[psutil.Process]:
    """Find processes that work for a home, and are neither those known nor their children.

    ZenML forgets a server that did not start in time; one that was killed leaves its workers listening.
    """
    lost = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if _works_for(process, home.folder) and not known & _lineage(process):
                lost.append(process)
    return lost


def wait_until_listening(
    tag: BentoTag, arbiter: Callable[[], int | None], port: int, log: Path, timeout: float
) -> None:
    """Return when a Bento listens. Raises StackError with the reason if it ends, or takes too long."""
    deadline = time.monotonic() + timeout
    while True:
        words = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        pid = arbiter()
        if pid is not None and _listens(pid, port):
            return
        # BentoML starts a worker that fails again and again.
        if pid is None or _FAILED in words or time.monotonic() > deadline:
            reason = last_error(words) or "it did not become ready in time"
            raise StackError(f"The Bento {tag} does not serve: {reason}.")
        time.sleep(0.1)


def wait_until_ready(client: ModelServerClient, name: str, timeout: float) -> None:
    """Return when a model can be asked. Raises StackError if that takes too long."""
    deadline = time.monotonic() + timeout
    while not client.is_ready(name):
        if time.monotonic() > deadline:
            raise StackError(f"The server at {client.url} does not answer for {name}.")
        time.sleep(0.1)


def _listens(pid: int, port: int) -> bool:
    """Whether an arbiter's socket, which its worker shares, is open to requests."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        for connection in connections
    )


def _works_for(process: psutil.Process, folder: Path) -> bool:
    words = process.cmdline()
    if not _PROGRAMS.intersection(words) or process.status() == psutil.STATUS_ZOMBIE:
        return False
    return process.cwd() == str(folder) or any(word.startswith(f"{folder}/") for word in words)


def _lineage(process: psutil.Process) -> set[int]:
    return {process.pid, *(parent.pid for parent in process.parents())}
