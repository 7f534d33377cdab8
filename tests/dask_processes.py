"""A Dask scheduler and its workers as processes of their own, as somebody starts them elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.cluster import disconnect_all
from tests.processes import free_port

ROOT = Path(__file__).resolve().parent.parent
Started = subprocess.Popen[bytes]


def start_scheduler(port: int, logs: Path) -> Started:
    return _start("dask_scheduler", "--host", "127.0.0.1", "--port", str(port), folder=ROOT, logs=logs)


def start_worker(
    address: str, logs: Path, folder: Path = ROOT, more: Sequence[str] = (), nanny: bool = False
) -> Started:
    """`folder` is where our code is; `more` are options of Dask's."""
    nannies = "--nanny" if nanny else "--no-nanny"
    words = (address, "--nthreads", "1", nannies, "--local-directory", str(logs), *more)
    return _start("dask_worker", *words, folder=folder, logs=logs)


@contextmanager
def running(*processes: Started) -> Iterator[list[Started]]:
    """Kill them in the end, and those that came to the list; our connections are let go before."""
    every = list(processes)
    try:
        yield every
    finally:
        disconnect_all()
        for process in every:
            kill(process)


@contextmanager
def running_cluster(logs: Path, workers: int = 1, nanny: bool = False) -> Iterator[tuple[str, list[Started]]]:
    """A scheduler and workers of our code: its address, and the processes, the scheduler first."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with running(
        start_scheduler(port, logs), *(start_worker(address, logs, nanny=nanny) for _ in range(workers))
    ) as every:
        yield address, every


def kill(process: Started) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _start(program: str, *words: str, folder: Path, logs: Path) -> Started:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{program}", *words, "--no-dashboard"], cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)}, stdout=subprocess.DEVNULL,
        stderr=(logs / f"{program}.log").open("ab"), start_new_session=True,
    )  # fmt: skip
