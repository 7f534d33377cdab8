"""Processes that a test started, found by the folder they work in."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil


def processes_of(folder: Path) -> list[psutil.Process]:
    """All whose command line or working directory is in a folder; their children may be elsewhere."""
    return [
        one for one in psutil.process_iter() if str(folder) in _words(one) and one.pid != psutil.Process().pid
    ]


def kill_all_of(folder: Path) -> None:
    """End whatever a test, perhaps a failed one, has left."""
    left = processes_of(folder)
    for one in left:
        one.kill()
    psutil.wait_procs(left, 10)


def _words(process: psutil.Process) -> str:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return " ".join([*process.cmdline(), process.cwd()])
    except psutil.Error:
        return ""


def free_port() -> int:
    """A port of loopback where nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
