"""A model server as a process of this machine: started on its own, known later, stopped with its children."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from stacks.components.mlserver.folder import PROGRAM, ServerFolder, write_json, write_secret
from stacks.components.mlserver.ports import HOST, LET_GO_SECONDS, PORTS, choose_ports
from stacks.components.mlserver.server_runner import server_settings, wait_until_live
from stacks.components.mlserver.settings import ServerSettings
from stacks.components.mlserver.supervisor_handle import read_supervision, supervise, wait_until_gone
from stacks.locked_environments import environment, environments_folder
from stacks.processes import StartedProcess, read_process


@dataclass(frozen=True)
class ProcessRuntime:
    """An environment's Python, and the hash of the copy of the code."""

    python: str
    code: str

    def is_there(self, folder: ServerFolder) -> bool:
        """Whether both are."""
        return Path(self.python).exists() and folder.has_code(self.code)

    def start(
        self, folder: ServerFolder, ports: Mapping[str, int], timeout: float, home: ServerFolder
    ) -> Daemon:
        """Start the server in a session of its own."""
        chosen = choose_ports(ports, LET_GO_SECONDS)
        write_json(folder.models / "settings.json", server_settings(chosen, HOST, _log_file(folder)))
        write_secret(folder.token, secrets.token_urlsafe(32))
        with folder.output.open("wb") as output:
            process = subprocess.Popen(
                [self.python, "-m", PROGRAM, str(folder.models), str(folder.token)],
                cwd=folder.root,  # MLServer puts it on sys.path, before the copy of the code
                env=home.variables(self.code),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started = psutil.Process(process.pid).create_time()
        daemon = Daemon(process.pid, started, **chosen, python=self.python, code=self.code)
        with folder.recorded(asdict(daemon)):
            try:
                wait_until_live(
                    daemon.http_port, timeout, process.poll, lambda: _last_words(folder), str(folder.log)
                )
            except BaseException:
                daemon.end(1)
                raise
        return daemon


@dataclass(frozen=True)
class Daemon(StartedProcess):
    """The process, its ports, and what it runs on: see ProcessRuntime."""

    http_port: int
    grpc_port: int
    metrics_port: int
    python: str
    code: str

    def __str__(self) -> str:
        return f"process {self.pid}"

    @property
    def runtime(self) -> ProcessRuntime:
        """What it runs on."""
        return ProcessRuntime(self.python, self.code)

    @property
    def ports(self) -> dict[str, int]:
        """The ports by the names of their settings."""
        return {name: getattr(self, name) for name in PORTS}

    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process() is not None

    def end(self, timeout: float) -> None:
        """End the process and its children."""
        process = self.process()
        if process is None:
            return
        family = [process]
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it has ended since
            family += process.children(recursive=True)
            os.killpg(self.pid, signal.SIGTERM)
        _, left = psutil.wait_procs(family, timeout)
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(left, 5)


def read_daemon(folder: ServerFolder) -> Daemon | None:
    """Return the daemon last started in a folder, alive or not; None if its models were all stopped."""
    return read_process(folder.state, Daemon, folder.root)


class AsProcess:
    """The server as a process: an environment of its own, a copy of the code, and our supervisor."""

    def __init__(self, settings: ServerSettings, folder: ServerFolder) -> None:
        self._settings, self._folder = settings, folder

    def wanted(self) -> ProcessRuntime:
        """Make the environment of the lock and a copy of the code as they are now, unless they are there."""
        default = self._settings.environments or self._folder.root / "environments"
        python = environment(Path(self._settings.lock), environments_folder(Path(default)))
        return ProcessRuntime(str(python), self._folder.copy_code(Path(self._settings.code)))

    def supervise(self) -> None:
        """Start a supervisor unless one is there."""
        supervise(self._folder, self._settings)

    def supervision(self) -> str:
        """Tell what the supervisor says."""
        supervision = read_supervision(self._folder)
        return str(supervision or "nobody supervises it: python run.py --pipeline deploy")

    def let_go(self) -> None:
        """Wait for the supervisor, which has nothing left to watch."""
        wait_until_gone(self._folder)

    def lines(self) -> Iterator[str]:
        """Of server.log and the two before it."""
        log = self._folder.log
        for path in (log.with_name(f"{log.name}.2"), log.with_name(f"{log.name}.1"), log):
            if path.is_file():
                yield from path.read_text(encoding="utf-8", errors="replace").splitlines()

    def how_to_follow(self) -> str:
        """Return a command that follows a file which is begun anew at a megabyte."""
        return f"tail -F {self._folder.log}"


def _last_words(folder: ServerFolder) -> str:
    words = folder.output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if not words and folder.log.is_file():
        words = folder.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(words[-15:])


def _log_file(folder: ServerFolder) -> dict[str, Any]:
    """At most three files of a megabyte."""
    return {
        "class": "logging.handlers.RotatingFileHandler",
        "filename": str(folder.log),
        "maxBytes": 1_000_000,
        "backupCount": 2,
    }
