"""A Dask scheduler and its workers as processes of their own, as somebody starts them elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
Started = subprocess.Popen[bytes]


def start_scheduler(port: int, logs: Path) -> Started:
    return _start("dask_scheduler", "--host", "127.0.0.1", "--port", str(port), folder=ROOT, logs=logs)


def start_worker(address: str, logs: Path, folder: Path = ROOT, more: Sequence[str] = ()) -> Started:
    """`folder` is where our code is; `more` are options of Dask's."""
    words = (address, "--nthreads", "1", "--no-nanny", "--local-directory", str(logs), *more)
    return _start("dask_worker", *words, folder=folder, logs=logs)


def kill(process: Started) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _start(program: str, *words: str, folder: Path, logs: Path) -> Started:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{program}", *words, "--no-dashboard"], cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)}, stdout=subprocess.DEVNULL,
        stderr=(logs / f"{program}.log").open("ab"), start_new_session=True,
    )  # fmt: skip
