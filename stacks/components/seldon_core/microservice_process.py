"""Seldon's Python server as a process of this machine: started, known again, ended with its children."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from stacks.components.mlserver.folder import CODE_ROOMS, ServerFolder
from stacks.components.mlserver.ports import choose_ports
from stacks.components.seldon_core.description import ServedBundle
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.components.seldon_core.v1_protocol import V1Client
from stacks.errors import StackError
from stacks.locked_environments import environment, environments_folder
from stacks.processes import StartedProcess, end, start

PROGRAM = "serving.seldon"  # a module of the copy of the code
_NEWEST_PYTHON = (3, 12)  # its NumPy has no wheels for a newer one
_EVERY = 0.1  # seconds between two looks


@dataclass(frozen=True)
class Microservice(StartedProcess):
    """A server that was started, alive or not: gunicorn, whose worker is its child."""

    port: int
    log: str
    code: str

    def works_in(self, folder: Path) -> bool:
        """Whether it is alive, and a folder's: what a copied project's record names is the original's."""
        process = self.process()
        try:
            return process is not None and process.cwd() == str(folder)
        except psutil.Error:
            return False

    def client(self, timeout: float) -> V1Client:
        """Return what asks it."""
        return V1Client(self.port, timeout)


def require_python() -> None:
    """Raise StackError if Seldon's server cannot run on this Python."""
    if sys.version_info[:2] > _NEWEST_PYTHON:
        raise StackError(
            "Seldon's server (seldon-core 1.17.1, NumPy 1) runs on Python 3.11 and 3.12, not on this one, "
            f"{sys.version_info.major}.{sys.version_info.minor}. A .venv of one of them serves it."
        )


def start_microservice(
    name: str, bundle: ServedBundle, settings: SeldonCoreSettings, folder: ServerFolder
) -> Microservice:
    """Start a server of a bundle, on a free port of loopback, and wait until it is ready.

    Raises StackError with what it said last if it ends, or is late; nothing of it runs on then.
    """
    require_python()
    default = settings.environments or folder.root / "environments"
    python = environment(Path(settings.lock), environments_folder(Path(default)))
    code = folder.copy_code(Path(settings.code), (*CODE_ROOMS, "serving/seldon"))
    port = choose_ports({"port": 0})["port"]
    log = folder.root / f"{name}.{port}.log"
    words = [
        str(python), "-W", "ignore:pkg_resources", "-m", PROGRAM, bundle.uri, "--digest", bundle.digest,
        "--name", name, "--version", bundle.version, "--port", str(port), "--grace", str(settings.grace),
    ]  # fmt: skip
    # Not what training has compiled, for another NumPy; compiled once for all versions of the code.
    variables = folder.variables(code) | {"NUMBA_CACHE_DIR": str(folder.root / "numba")}
    process = start(words, folder.root, variables, log)
    try:
        server = Microservice(process.pid, psutil.Process(process.pid).create_time(), port, str(log), code)
        _wait(server, process, settings.ready_timeout)
    except BaseException:
        end_all(processes_of(folder.root, name, port), settings.grace)
        process.wait()
        raise
    return server


def processes_of(folder: Path, name: str, port: int | None = None) -> list[psutil.Process]:
    """Find the processes of a model's servers, or of that on a port: also those whose parent was killed."""
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if PROGRAM not in words or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if _after("--name", words) != name or process.cwd() != str(folder):
                continue
            if port is None or _after("--port", words) == str(port):
                processes.append(process)
    return processes


def end_all(processes: list[psutil.Process], grace: float) -> None:
    """End processes: requests on their way are answered within `grace` seconds."""
    end(*processes, seconds=grace)


def last_lines(log: Path, lines: int) -> Iterator[str]:
    """Yield the last lines of a log; none if it is gone."""
    with suppress(FileNotFoundError):
        yield from log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]


def _wait(server: Microservice, process: subprocess.Popen[bytes], timeout: float) -> None:
    client, deadline = server.client(timeout), time.monotonic() + timeout
    while not client.is_ready():
        code = process.poll()
        if code is not None:
            raise StackError(f"Seldon's server ended at its start (exit code {code}):\n{_last_words(server)}")
        if time.monotonic() > deadline:
            raise StackError(
                f"Seldon's server was not ready within {timeout:g} s (ready_timeout of the model deployer):\n"
                f"{_last_words(server)}"
            )
        time.sleep(_EVERY)


def _last_words(server: Microservice) -> str:
    return "\n".join(last_lines(Path(server.log), 15))


def _after(option: str, words: list[str]) -> str | None:
    return words[words.index(option) + 1] if option in words[:-1] else None
