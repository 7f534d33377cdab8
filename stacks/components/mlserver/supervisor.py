"""The supervisor of a model server: brings it back when it ends, hangs, or has lost a model.

    python -m stacks.components.mlserver.supervisor FOLDER [--stay]

A deployment starts one by itself. With --stay it runs until it is told to stop, as a service of the system
(references/systemd). It need not be the parent of the server: killed, it leaves a server that goes on, and
the next supervisor watches that one. SIGTERM ends both, the server after its requests on their way.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import time
from collections import deque
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn
from wsgiref.simple_server import WSGIServer

import psutil

from stacks.components.mlserver.folder import ServerFolder, write_json
from stacks.components.mlserver.server import ModelServer
from stacks.components.mlserver.settings import ServerSettings
from stacks.components.mlserver.supervisor_handle import (
    State,
    Supervision,
    end_supervisor,
    read_settings,
    read_supervision,
)
from stacks.errors import StackError

_LOG = logging.getLogger("supervisor")
_TICK = 0.5  # seconds between looks
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_HOST = "127.0.0.1"
_DEFAULT_PORT: int = ServerSettings.model_fields["supervisor_port"].default
ENDED, HANGS, UNLOADED = "ended", "hangs", "unloaded"
_REASONS = {ENDED: "it had ended", HANGS: "it did not answer", UNLOADED: "a model was not loaded"}


class Budget:
    """How often a server may be brought back, and how long to wait before the next time."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def spend(self, now: float) -> None:
        """Once more."""
        self._times.append(now)

    def is_spent(self, now: float, settings: ServerSettings) -> bool:
        """Whether it was brought back so often of late that once more would be no use."""
        while self._times and now - self._times[0] > settings.restart_window:
            self._times.popleft()
        return len(self._times) >= settings.restarts

    def must_wait(self, now: float) -> bool:
        """Twice as long each time, so that what needs time to mend has it."""
        if not self._times:
            return False
        pause = min(_FIRST_PAUSE * 2 ** (len(self._times) - 1), _LONGEST_PAUSE)
        return bool(now - self._times[-1] < pause)

    def renew(self) -> None:
        """Somebody has mended it."""
        self._times.clear()


class Supervisor:
    """Watches the server of a folder."""

    def __init__(self, folder: ServerFolder, stays: bool) -> None:
        self.folder = folder
        self._supervision = Supervision(os.getpid(), psutil.Process().create_time(), stays)
        self._budget, self._metrics = Budget(), Metrics()
        self._port: int | None = None  # that the metrics were last asked for on
        self._answered = time.monotonic()
        self._trouble = ""  # the last exception, told once

    def run(self) -> None:
        """Until there is nothing left to watch."""
        if not self._claim():
            return
        while self._goes_on():
            time.sleep(_TICK)

    def stop(self) -> None:
        """End the server, unless it is a container; the next supervisor or deployment brings it back."""
        settings = self._settings()
        try:
            if settings is not None:
                ModelServer(settings).pause()
        finally:
            self.folder.supervisor.unlink(missing_ok=True)

    def _claim(self) -> bool:
        """Be the one supervisor of this folder; False if there is another.

        A service of the system takes over from one that a deployment has started.
        """
        with self.folder.alone():
            other = read_supervision(self.folder)
            if other is not None and other.pid != os.getpid():
                if other.stays or not self._supervision.stays:
                    _LOG.error("%s is supervised already, by process %s.", self.folder.root, other.pid)
                    return False
                end_supervisor(other)
            self._expose(self._settings())
            return True

    def _release(self) -> bool:
        """Nothing is served any more, and no deployment is about to serve something."""
        with self.folder.alone():
            if self._has_something():
                return False
            self.folder.supervisor.unlink(missing_ok=True)
            return True

    def _has_something(self) -> bool:
        settings = self._settings()
        return settings is not None and settings.restarts > 0 and bool(self.folder.served())

    def _settings(self) -> ServerSettings | None:
        """Return those of the last deployment; None where it made a container, which its engine keeps."""
        settings = read_settings(self.folder)
        return None if settings is None or settings.image else settings

    def _goes_on(self) -> bool:
        """As `_look`; what goes wrong there, a defect too, must not end the watch."""
        try:
            return self._look()
        except Exception as error:
            self._metrics.up.set(0)  # what was seen last may not be so any more
            if repr(error) != self._trouble:
                _LOG.exception("A look at the model server failed.")
            self._trouble = repr(error)
            return True

    def _look(self) -> bool:
        settings = self._settings()
        if settings is not None:
            self._expose(settings)
        if settings is None or not self._has_something():
            self._rest()
            return self._supervision.stays or not self._release()
        server, now = ModelServer(settings), time.monotonic()
        fault = self._fault(server)
        self._metrics.up.set(fault is None)
        if fault is None:
            self._is_well()
        elif self._supervision.state != State.gave_up and not self._budget.must_wait(now):
            if self._budget.is_spent(now, settings):
                self._give_up(settings)
            else:
                self._bring_back(server, fault)
        return True

    def _fault(self, server: ModelServer) -> str | None:
        daemon, now = server.daemon(), time.monotonic()
        if daemon is None:
            return ENDED
        models = self.folder.served().values()  # one on trial has a say nowhere, here neither
        answers = [server.is_ready(daemon, model.name) for model in models if not model.on_trial]
        if None not in answers:
            self._answered = now
        elif now - self._answered > server.settings.hang_timeout:
            return HANGS
        return UNLOADED if False in answers else None

    def _rest(self) -> None:
        """There is nothing to bring back, nor anything that was given up."""
        self._metrics.up.set(math.nan)
        self._is_well()

    def _is_well(self) -> None:
        if self._supervision.state == State.watching:
            return
        if self._supervision.state == State.gave_up:  # a deployment has mended it, or a person stopped it
            self._budget.renew()
            self._metrics.gave_up.set(0)
        self._tell(state=State.watching)

    def _bring_back(self, server: ModelServer, fault: str) -> None:
        reason = _REASONS[fault]
        self._tell(state=State.restarting, reason=reason)
        try:
            if not server.bring_back():
                return  # a deployment was quicker
            _LOG.warning("The model server was brought back: %s.", reason)
        except (StackError, OSError, psutil.Error) as error:
            reason = f"it could not be brought back: {error}"
            _LOG.warning("Of the model server: %s", reason)
        self._answered = time.monotonic()
        self._budget.spend(self._answered)
        self._metrics.restarts.labels(fault).inc()
        self._tell(restarts=self._supervision.restarts + 1, reason=reason, changed=time.time())

    def _give_up(self, settings: ServerSettings) -> None:
        minutes = settings.restart_window / 60
        reason = (
            f"tried {settings.restarts} times in {minutes:g} minutes, the last time "
            f"{self._supervision.reason.rstrip('.')}. Mend that, then: python run.py --pipeline deploy"
        )
        _LOG.error("Giving up: %s", reason)
        self._metrics.gave_up.set(1)
        self._tell(state=State.gave_up, reason=reason, changed=time.time())

    def _tell(self, **changes: object) -> None:
        self._supervision = replace(self._supervision, **changes)  # type: ignore[arg-type]
        write_json(self.folder.supervisor, asdict(self._supervision))

    def _expose(self, settings: ServerSettings | None) -> None:
        """Have the metrics on the port that is set now, once. Without them it is still better to watch."""
        port = settings.supervisor_port if settings is not None else _DEFAULT_PORT
        if port == self._port:
            return
        self._port, exposed = port, None
        try:
            exposed = self._metrics.expose(port)
        except OSError as error:
            _LOG.warning("No metrics on port %s (supervisor_port): %s", port, error.strerror)
        self._tell(metrics_port=exposed)


class Metrics:
    """What Prometheus reads of a supervisor."""

    def __init__(self) -> None:
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # another project's: looked for at the import
        from prometheus_client import CollectorRegistry, Counter, Gauge

        self.registry = CollectorRegistry()
        self._server: WSGIServer | None = None
        self.up = Gauge(
            "accidents_model_server_up",
            "1: the model server answers; NaN: there is none to watch.",
            registry=self.registry,
        )
        self.gave_up = Gauge(
            "accidents_model_server_gave_up", "1: it is brought back no more.", registry=self.registry
        )
        self.restarts = Counter(
            "accidents_model_server_restarts", "It was brought back.", ["fault"], registry=self.registry
        )
        for fault in _REASONS:
            self.restarts.labels(fault)

    def expose(self, port: int) -> int:
        """Answer on a port of this machine, and on no other; return it."""
        from prometheus_client import start_http_server

        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self._server, _ = start_http_server(port, _HOST, self.registry)
        return int(self._server.server_address[1])


def main(root: str, stays: bool) -> None:
    """Watch until told to stop, whatever signals were ignored when we were started."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    folder = ServerFolder(Path(root))
    folder.root.mkdir(parents=True, exist_ok=True)
    os.chdir(folder.root)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    supervisor = Supervisor(folder, stays)
    try:
        supervisor.run()
    except KeyboardInterrupt:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # once is enough
        supervisor.stop()


def _leave(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(sys.argv[1], "--stay" in sys.argv[2:])
