"""The process of a model server: started on its own, known again later, stopped with all its children."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.folder import PROGRAM, ServerFolder, write_json, write_secret
from stacks.errors import StackError
from stacks.processes import KEPT_VARIABLES, StartedProcess, read_process

HOST = "127.0.0.1"
PORTS = ("http_port", "grpc_port", "metrics_port")
_OTHER_PORT = "set another {name} (0: any free one) for the model deployer in stacks/*.yaml"
_LET_GO_SECONDS = 5.0  # a process that was killed may hold its ports a little longer
_MAX_MESSAGE = 16 * 1024 * 1024  # bytes of a request, REST and gRPC; 10,000 rows are a third of it


@dataclass(frozen=True)
class Daemon(StartedProcess):
    """A model server that was started: its process, its ports, and what it runs on.

    Attributes
    ----------
    python, code : the environment's Python and the hash of the copy of the code.
    """

    http_port: int
    grpc_port: int
    metrics_port: int
    python: str
    code: str

    @property
    def ports(self) -> dict[str, int]:
        """The ports by the names of their settings."""
        return {name: getattr(self, name) for name in PORTS}


def read_daemon(folder: ServerFolder) -> Daemon | None:
    """The daemon that was last started in a folder, alive or not; None if its models were all stopped."""
    return read_process(folder.state, Daemon, folder.root)


def start_daemon(
    folder: ServerFolder,
    python: Path,
    code: str,
    ports: Mapping[str, int],
    timeout: float,
    code_of: ServerFolder | None = None,
) -> Daemon:
    """Start the model server, without a model, and wait until it answers.

    Parameters
    ----------
    code : hash of the copy of the code, in this folder or that of `code_of`.
    ports : by name of the setting; 0 is any free port.

    Raises
    ------
    StackError
        A port is taken, or the server ended or did not answer in time: with what it said last.
    """
    chosen = choose_ports(ports, _LET_GO_SECONDS)
    write_json(folder.models / "settings.json", _settings(folder, chosen))
    write_secret(folder.token, secrets.token_urlsafe(32))
    with folder.output.open("wb") as output:
        process = subprocess.Popen(
            [str(python), "-m", PROGRAM, str(folder.models), str(folder.token)],
            cwd=folder.root,  # MLServer puts it on sys.path, before the copy of the code
            env=_environment(code_of or folder, code),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    before = read_daemon(folder)
    started = psutil.Process(process.pid).create_time()
    daemon = Daemon(process.pid, started, **chosen, python=str(python), code=code)
    write_json(folder.state, asdict(daemon))
    try:
        _wait_until_live(folder, process, daemon, timeout)
    except BaseException:
        stop_daemon(daemon, 1)
        if before is None:
            folder.state.unlink()
        else:
            write_json(folder.state, asdict(before))
        raise
    return daemon


def stop_daemon(daemon: Daemon, timeout: float) -> None:
    """End the process and its children: asked to first, made to after `timeout` seconds."""
    process = daemon.process()
    if process is None:
        return
    family = [process]
    with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it has ended since
        family += process.children(recursive=True)
        os.killpg(daemon.pid, signal.SIGTERM)
    _, left = psutil.wait_procs(family, timeout)
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left, 5)


def choose_ports(ports: Mapping[str, int], patience: float = 0, remedy: str = _OTHER_PORT) -> dict[str, int]:
    """The ports to listen on; 0 is any free one.

    Raises StackError if one is taken, after `patience` seconds still: by whom, and what to set (`remedy`).
    """
    end = time.monotonic() + patience
    while True:
        try:
            return _choose_ports(ports, remedy)
        except StackError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)


def _choose_ports(ports: Mapping[str, int], remedy: str) -> dict[str, int]:
    sockets: dict[str, socket.socket] = {}
    try:
        for name, port in ports.items():
            sockets[name] = listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
                listener.listen()  # binding alone succeeds beside another that does not listen yet
            except OSError as error:
                raise StackError(
                    f"The model server cannot listen on port {port}: {_owner(port) or error.strerror}. "
                    f"Stop that, or {remedy.format(name=name)}."
                ) from None
        return {name: listener.getsockname()[1] for name, listener in sockets.items()}
    finally:
        for listener in sockets.values():
            listener.close()


def _owner(port: int) -> str:
    try:
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and getattr(one.laddr, "port", 0) == port and one.pid:
                command = " ".join(psutil.Process(one.pid).cmdline())[:120]
                return f"it is taken by process {one.pid} ({command})"
    except psutil.Error:
        pass  # not ours to see
    return ""


def _wait_until_live(
    folder: ServerFolder, process: subprocess.Popen[bytes], daemon: Daemon, timeout: float
) -> None:
    client, end = ModelServerClient(daemon.http_port), time.monotonic() + timeout
    while not client.is_live():
        if process.poll() is not None:
            raise StackError(
                f"The model server ended at its start (exit code {process.returncode}):\n"
                f"{_last_words(folder)}"
            )
        if time.monotonic() > end:
            raise StackError(
                f"The model server did not answer within {timeout:g} s; see {folder.log}, or raise "
                f"start_timeout of the model deployer:\n{_last_words(folder)}"
            )
        time.sleep(0.05)


def _last_words(folder: ServerFolder) -> str:
    said = folder.output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if not said and folder.log.is_file():
        said = folder.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(said[-15:])


def _environment(folder: ServerFolder, code: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | {
        "PYTHONPATH": str(folder.root / "code" / code),
        "OMP_NUM_THREADS": "1",  # a second thread helps no single row, and fights with its neighbours
        "NUMBA_NUM_THREADS": "1",
    }


def _settings(folder: ServerFolder, ports: Mapping[str, int]) -> dict[str, Any]:
    return {
        **ports,
        "host": HOST,
        "debug": False,
        "parallel_workers": 0,
        "gzip_enabled": False,
        "load_models_at_startup": False,  # each is loaded by order, and a broken one says why
        "grpc_max_message_length": _MAX_MESSAGE,
        "server_name": "accidents",
        "logging_settings": _logging(folder),
    }


def _logging(folder: ServerFolder) -> dict[str, Any]:
    """Starts, loads and errors, in at most three files of a megabyte; no line a request."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {
            "file": {
                "class": "logging.handlers.RotatingFileHandler",
                "filename": str(folder.log),
                "maxBytes": 1_000_000,
                "backupCount": 2,
                "formatter": "plain",
            }
        },
        "root": {"handlers": ["file"], "level": "WARNING"},
        "loggers": {
            # What MLServer's own handler would say a second time, to the standard output.
            "mlserver": {"handlers": ["file"], "level": "INFO", "propagate": False},
            "mlserver.grpc": {"level": "CRITICAL"},  # it logs every wrong request with its stack trace
        },
    }
