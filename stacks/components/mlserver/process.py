"""A process that outlives who started it: known again later, and not taken for another with its number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

_CLOCK_STEP = 2.0  # seconds that a process' start time may seem to move when the clock is put right
# What a daemon inherits: MLSERVER_* and PYTHON* of whoever deploys would change it.
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class StartedProcess:
    """Its number and its start time (seconds since 1970): another process with the same number is not it."""

    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """The process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _CLOCK_STEP
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


Kind = TypeVar("Kind", bound=StartedProcess)


def read_process(path: Path, kind: type[Kind], folder: Path) -> Kind | None:
    """What a file says of a process that works in a folder; None if there is no such file."""
    try:
        said = kind(**json.loads(path.read_text(encoding="utf-8")))
        process = said.process()
        # Of a copied project's folder the file names the original's process: that one works elsewhere.
        return said if process is None or Path(process.cwd()) == folder else None
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
