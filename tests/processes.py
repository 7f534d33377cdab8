"""Processes that a test started, found by the folder they work in."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import psutil


def processes_of(folder: Path) -> list[psutil.Process]:
    """All begun since ours whose command line or working directory is in a folder; their children may not be.

    Not who runs the tests, who may have named the folder, nor what somebody looks into it with.
    """
    ours, named = psutil.Process(), re.compile(rf"{re.escape(str(folder))}(?![\w.-])")
    return [one for one in psutil.process_iter() if named.search(words_of(one)) and _is_younger(one, ours)]


def kill_all_of(folder: Path) -> None:
    """End whatever a test, perhaps a failed one, has left."""
    left = processes_of(folder)
    for one in left:
        one.kill()
    psutil.wait_procs(left, 10)


def words_of(process: psutil.Process) -> str:
    """Its command line and working directory; nothing of one that has ended."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return " ".join([*process.cmdline(), process.cwd()])
    except psutil.Error:
        return ""


def _is_younger(process: psutil.Process, than: psutil.Process) -> bool:
    try:
        return process.create_time() > than.create_time()
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """A port of loopback where nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
