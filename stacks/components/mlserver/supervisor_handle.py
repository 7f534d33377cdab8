"""The supervisor of a model server, from outside: what it says, how it is started and waited for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import psutil

from stacks.components.mlserver.folder import ServerFolder, write_json
from stacks.components.mlserver.settings import ServerSettings
from stacks.processes import KEPT_VARIABLES, StartedProcess, read_process

PROGRAM = "stacks.components.mlserver.supervisor"
_ROOT = Path(__file__).resolve().parents[3]
_LEAVE_SECONDS = 5.0  # for one that has nothing left to watch


class State(StrEnum):
    """What a supervisor is doing."""

    watching = "watching"
    restarting = "restarting"
    gave_up = "gave up"


@dataclass(frozen=True)
class Supervision(StartedProcess):
    """What a supervisor says of itself.

    Attributes
    ----------
    stays : whether it waits for a next model when there is none left (as a service of the system does).
    restarts : how often it has brought the server back.
    reason : of the last time, or of giving up.
    changed : when that was, seconds since 1970.
    """

    stays: bool
    state: State = State.watching
    restarts: int = 0
    reason: str = ""
    changed: float = 0
    metrics_port: int | None = None

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.changed).isoformat(sep=" ", timespec="seconds")
        if self.state == State.gave_up:
            return f"the supervisor gave up at {at}: {self.reason}"
        if self.state == State.restarting:
            return f"the supervisor is bringing it back: {self.reason}"
        past = f"; brought back {self.restarts} times, last at {at}: {self.reason}" if self.restarts else ""
        return f"supervised by process {self.pid}{past}"


def read_supervision(folder: ServerFolder) -> Supervision | None:
    """Return what the supervisor of a folder says, or None if none lives."""
    supervision = read_process(folder.supervisor, Supervision, folder.root)
    return supervision if supervision is not None and supervision.process() is not None else None


def supervise(folder: ServerFolder, settings: ServerSettings) -> None:
    """See to it that a supervisor watches the server with these settings. Call it alone on the folder."""
    write_settings(folder, settings)
    if settings.restarts == 0 or read_supervision(folder) is not None:
        return
    with folder.supervisor_log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", PROGRAM, str(folder.root)],
            cwd=folder.root,
            env={name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
            | {"PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    started = psutil.Process(process.pid).create_time()
    write_json(folder.supervisor, asdict(Supervision(process.pid, started, stays=False)))


def write_settings(folder: ServerFolder, settings: ServerSettings) -> None:
    """Tell a supervisor what the deployment wants."""
    write_json(folder.settings, settings.model_dump(include=set(ServerSettings.model_fields)))


def read_settings(folder: ServerFolder) -> ServerSettings | None:
    """Return those of the last deployment, None before the first.

    What a deployment of newer code has added is passed over: the server must be watched all the same.
    """
    try:
        settings = json.loads(folder.settings.read_text(encoding="utf-8"))
    except OSError:
        return None
    known = {name: value for name, value in settings.items() if name in ServerSettings.model_fields}
    return ServerSettings.model_validate(known)


def wait_until_gone(folder: ServerFolder) -> None:
    """Wait for a supervisor that has nothing left to watch; end it if it does not go."""
    supervision = read_supervision(folder)
    if supervision is None or supervision.stays:
        return
    end = time.monotonic() + _LEAVE_SECONDS
    while supervision.process() is not None and time.monotonic() < end:
        time.sleep(0.05)
    end_supervisor(supervision)


def end_supervisor(supervision: Supervision) -> None:
    """End one that brings nothing back just now; the server goes on."""
    process = supervision.process()
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.kill()
        psutil.wait_procs([process], _LEAVE_SECONDS)
