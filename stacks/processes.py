"""Processes that outlive who started them: started apart, known again later, ended with their children."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

# What a server inherits: MLSERVER_*, BENTOML_* and PYTHON* of whoever deploys would change it.
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
END_SECONDS = 15.0
_CHILDREN_SECONDS = 1.0  # they were ended by their parent, or not at all
_CLOCK_STEP = 2.0  # seconds that a process' start time may seem to move when the clock is put right


@dataclass(frozen=True)
class StartedProcess:
    """Its number and its start time (seconds since 1970): another process with the same number is not it."""

    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """Return the process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _CLOCK_STEP
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


Kind = TypeVar("Kind", bound=StartedProcess)


def start(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, which neither Ctrl-C nor the terminal's end reaches.

    Parameters
    ----------
    log : its standard output and error, of this start only.
    """
    log.unlink(missing_ok=True)
    with log.open("ab") as output:  # at its end, also after `run.py clean` has shortened it
        return subprocess.Popen(
            words, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


def read_process(path: Path, kind: type[Kind], folder: Path) -> Kind | None:
    """Return what a file says of a process that works in a folder; None if there is no such file."""
    try:
        known = kind(**json.loads(path.read_text(encoding="utf-8")))
        process = known.process()
        # Of a copied project's folder the file names the original's process: that one works elsewhere.
        return known if process is None or Path(process.cwd()) == folder else None
    except (OSError, ValueError, TypeError, psutil.Error):
        return None


def started_with(file: Path) -> list[psutil.Process]:
    """Find processes whose command names a file."""
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(Path(word) == file for word in process.cmdline()):
                processes.append(process)
    return processes


def end(*processes: psutil.Process, seconds: float = END_SECONDS) -> None:
    """End processes with all their children: asked to first, made to after some seconds."""
    family = set(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            family.update(process.children(recursive=True))
            process.terminate()
    psutil.wait_procs(processes, seconds)
    psutil.wait_procs(family, _CHILDREN_SECONDS)
    left = [process for process in family if is_alive(process)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, _CHILDREN_SECONDS)


def is_alive(process: psutil.Process) -> bool:
    """Tell whether it has not ended; in a container nobody may look after those that have."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
