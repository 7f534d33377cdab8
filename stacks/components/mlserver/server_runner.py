"""How a model server is run, whatever runs it: what it runs on, the server itself, who looks after it.

Two ways do it: a process of this machine (daemon.py) and a container (container.py);
process_or_container.py chooses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.folder import ServerFolder
from stacks.errors import StackError

_MAX_MESSAGE = 16 * 1024 * 1024  # bytes of a request, REST and gRPC; 10,000 rows are a third of it


class RunningServer(Protocol):
    """A model server that was started, alive or not; in words it says what it is."""

    @property
    def runtime(self) -> Runtime:
        """What it runs on."""
        ...

    @property
    def ports(self) -> dict[str, int]:
        """The ports of this machine by the names of their settings."""
        ...

    @property
    def http_port(self) -> int:
        """Where V2 is spoken over REST."""
        ...

    def is_alive(self) -> bool:
        """Whether it has not ended; it may answer or not."""
        ...

    def end(self, timeout: float) -> None:
        """End it: asked to first, made to after `timeout` seconds. One that has ended is no error."""
        ...


class Runtime(Protocol):
    """What a model server runs on: servers on equal ones answer alike."""

    @property
    def code(self) -> str:
        """Hash of the copy of the code in the server's folder; empty if it needs none."""
        ...

    def is_there(self, folder: ServerFolder) -> bool:
        """Whether a server can still be started on it."""
        ...

    def start(
        self, folder: ServerFolder, ports: Mapping[str, int], timeout: float, home: ServerFolder
    ) -> RunningServer:
        """Start the server of a folder, without a model, and wait until it answers.

        Parameters
        ----------
        ports : by name of the setting; 0 is any free port.
        home : folder with the bundles and the copy of the code, which may be another.

        Raises
        ------
        StackError
            A port is taken, or the server ended or did not answer in time: with what it said last.
        """
        ...


class Way(Protocol):
    """A way to run the model server of a folder."""

    def wanted(self) -> Runtime:
        """Return what a server started now would run on. Raises StackError if that cannot be had."""
        ...

    def supervise(self) -> None:
        """See to it that a server that ends is brought back. Call it alone on the folder."""
        ...

    def supervision(self) -> str:
        """Who brings it back, and what that has done of late."""
        ...

    def let_go(self) -> None:
        """Nothing is served any more, so that nothing is to be brought back."""
        ...

    def lines(self) -> Iterator[str]:
        """Yield what the server has logged, oldest first."""
        ...

    def how_to_follow(self) -> str:
        """Return the command that shows what it logs from now on."""
        ...


def server_settings(
    ports: Mapping[str, int], host: str, handler: Mapping[str, Any], load_at_start: bool = False
) -> dict[str, Any]:
    """MLServer's settings.

    Parameters
    ----------
    handler : Python's logging handler of its log.
    load_at_start : whether it loads what is in its folder; otherwise each model is loaded by order, and a
        broken one says why.
    """
    return {
        **ports,
        "host": host,
        "debug": False,
        "parallel_workers": 0,
        "gzip_enabled": False,
        "load_models_at_startup": load_at_start,
        "grpc_max_message_length": _MAX_MESSAGE,
        "server_name": "accidents",
        "logging_settings": _logging(handler),
    }


def wait_until_live(
    port: int, timeout: float, exit_code: Callable[[], int | None], words: Callable[[], str], log: str
) -> None:
    """Wait for the first answer.

    Raises StackError if it ended (with `exit_code`) or took longer than `timeout` seconds, with its `words`.
    """
    client, end = ModelServerClient(port), time.monotonic() + timeout
    while not client.is_live():
        code = exit_code()
        if code is not None:
            raise StackError(f"The model server ended at its start (exit code {code}):\n{words()}")
        if time.monotonic() > end:
            raise StackError(
                f"The model server did not answer within {timeout:g} s; see {log}, or raise start_timeout "
                f"of the model deployer:\n{words()}"
            )
        time.sleep(0.05)


def _logging(handler: Mapping[str, Any]) -> dict[str, Any]:
    """Log starts, loads and errors; no line a request."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"log": {**handler, "formatter": "plain"}},
        "root": {"handlers": ["log"], "level": "WARNING"},
        "loggers": {
            # What MLServer's own handler would say a second time, to the standard output.
            "mlserver": {"handlers": ["log"], "level": "INFO", "propagate": False},
            "mlserver.grpc": {"level": "CRITICAL"},  # it logs every wrong request with its stack trace
        },
    }
