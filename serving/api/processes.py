"""Several processes of the API on one port of this machine: started, watched, and stopped together.

They share the listening socket, and nothing else: keys, rates and log are where the settings say. Their
metrics add up in files (`prometheus_client`'s multiprocess mode), which also keep what a process counted that
has ended.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from accidents.errors import AccidentsError
from serving.api.settings import ApiSettings

_LOG = logging.getLogger(__name__)
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # its client looks for it
WORKER = "--worker"  # tells a process that it is one of several; then the socket's number, and their parent
_TICK = 0.2  # seconds between looks at what runs
_SHORT = 5.0  # seconds; a process that ends sooner has not served
_MOST_SHORT = 3  # such ends in a row, after which all are stopped, unless one of them serves
_MOST_PAUSE = 30.0  # seconds before another is started; it doubles with each short end
_STOP_SECONDS = 25.0  # for the requests on their way, and the last commits


def listening(settings: ApiSettings, backlog: int) -> socket.socket:
    """Return a socket that listens where the settings say. Raises AccidentsError where it cannot."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:  # as one process does it: else all of IPv4 were one caller, ::ffff:0:0
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        raise AccidentsError(
            f"The API cannot listen on {settings.host}:{settings.port}: {error.strerror}. Stop what does, or "
            "set another `host` or `port` in configs/api.yaml."
        ) from None
    listener.listen(backlog)
    return listener


def serve_in(processes: int, listener: socket.socket) -> int:
    """Run so many until told to stop; 0, or 1 where none stays up."""
    host, port = listener.getsockname()[:2]
    with tempfile.TemporaryDirectory(prefix="accidents-metrics-") as folder:
        number = listener.fileno()
        group = _Group(
            processes,
            [sys.executable, "-m", "serving.api", WORKER, str(number), str(os.getpid())],
            pass_fds=[number],
            process_group=0,  # Ctrl-C is for us, who tell them to stop
            env={**os.environ, METRICS_FOLDER: folder},
        )
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, group.stop)
        shown = f"[{host}]" if ":" in host else host
        _LOG.info("%d processes of the API running on http://%s:%s", processes, shown, port)
        return group.run()


def end_with_parent(parent: int) -> None:
    """End this process, in good order, when the one that started it is gone, or was before we looked."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


class _Group:
    """The processes; one that ends is started anew.

    Parameters
    ----------
    words : what starts one.
    process : further arguments of `subprocess.Popen`.
    """

    def __init__(self, processes: int, words: Sequence[str], **process: Any) -> None:
        self._wanted, self._words, self._process = processes, words, process
        self._running: dict[subprocess.Popen[bytes], float] = {}
        self._stopping, self._short, self._next = False, 0, 0.0

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Begin to stop."""
        self._stopping = True

    def run(self) -> int:
        """Keep them up until told to stop."""
        while not self._stopping and not self._is_down():
            while len(self._running) < self._wanted and time.monotonic() >= self._next:
                self._start()
            time.sleep(_TICK)
            self._bury()
        failed = not self._stopping
        self._end()
        if failed:
            _LOG.error("The processes of the API do not stay up: what they said stands above.")
        return 1 if failed else 0

    def _is_down(self) -> bool:
        now = time.monotonic()
        serves = any(now - since >= _SHORT for since in self._running.values())
        return self._short >= _MOST_SHORT and not serves

    def _start(self) -> None:
        self._running[subprocess.Popen(self._words, **self._process)] = time.monotonic()

    def _bury(self) -> None:
        """Let go of those that have ended."""
        for process in [process for process in self._running if process.poll() is not None]:
            lived = time.monotonic() - self._running.pop(process)
            self._short = self._short + 1 if lived < _SHORT else 0
            pause = min(_TICK * 2**self._short, _MOST_PAUSE) if self._short else 0.0
            self._next = time.monotonic() + pause
            _forget_gauges(self._process["env"][METRICS_FOLDER], process.pid)
            if not self._stopping:
                _LOG.error(
                    "Process %d of the API has ended with %s: another takes its place in %.1f s.",
                    process.pid, process.returncode, pause,
                )  # fmt: skip

    def _end(self) -> None:
        for process in self._running:
            process.terminate()
        until = time.monotonic() + _STOP_SECONDS
        for process in self._running:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _forget_gauges(folder: str, process: int) -> None:
    """Remove what a process said of itself now; what it has counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(process, folder)  # type: ignore[no-untyped-call]
