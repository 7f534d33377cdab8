"""`make watch`: Prometheus, Alertmanager and the Pushgateway on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from pydantic import Field

from accidents.config import parse, read_yaml
from accidents.errors import AccidentsError
from accidents.files import write_whole
from accidents.strict import Strict
from commands.keys import keys_of
from commands.project import ROOT, api_settings, console
from commands.signals import heed_signals
from observability.addresses import HOOK_KEY, METRICS_KEY, Addresses, write_configs
from observability.programs import commands, grafana, missing
from stacks.environment import prepare_environment
from stacks.errors import StackError
from stacks.processes import end, start

HOST = "127.0.0.1"
DASHBOARDS = "observability/grafana/dashboards"
_PROMETHEUS, _ALERTMANAGER = "prometheus", "alertmanager"  # names of the keys they present
_TICK = 1.0  # seconds between looks at what runs


class WatchSettings(Strict):
    """Each key is told in configs/watch.yaml."""

    prometheus_port: int = Field(default=9090, ge=1, le=65535)
    alertmanager_port: int = Field(default=9093, ge=1, le=65535)
    pushgateway_port: int = Field(default=9091, ge=1, le=65535)
    grafana_port: int = Field(default=3000, ge=1, le=65535)
    model_server_metrics_port: int = Field(default=8087, ge=1, le=65535)
    supervisor_port: int | None = Field(default=8088, ge=1, le=65535)
    folder: Path = Path(".watch")


def watch() -> None:
    """Start them, say where they are, and end them all with Ctrl-C or when one of them ends.

    Raises
    ------
    AccidentsError : a program is not installed, a port is taken, or one ended: with what it said.
    """
    settings = parse(WatchSettings, read_yaml(ROOT / "configs" / "watch.yaml"), "configs/watch.yaml")
    if needed := missing():
        raise AccidentsError(
            f"Not installed: {', '.join(needed)}. On Debian: "
            f"apt-get install --no-install-recommends {' '.join(needed)}. "
            "Debian starts them as services, on the same ports: systemctl disable --now them, or take other "
            "ports in configs/watch.yaml."
        )
    at, folder = addresses(settings), ROOT / settings.folder
    programs = {name: (words, dict[str, str]()) for name, words in commands(folder, at).items()}
    drawn = grafana(folder, at)
    if drawn is not None:
        programs["grafana"] = drawn
    _require_free({name: str(getattr(at, name)) for name in programs})
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_configs(folder, at)
    provide_keys(folder)
    heed_signals()  # the children end with us
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, (words, variables) in programs.items():
            running[name] = start(words, folder, {**os.environ, **variables}, folder / f"{name}.log")
        _say(at, drawn is not None)
        while True:
            _require_running(running, folder)
            provide_keys(folder)  # the first key of the API may be made at any time
            time.sleep(_TICK)
    except KeyboardInterrupt:
        console.print("Stopped.")
    finally:
        end(*(psutil.Process(process.pid) for process in running.values() if process.poll() is None))


def addresses(settings: WatchSettings) -> Addresses:
    """Where each listens."""
    api = api_settings()
    host = f"[{api.host}]" if ":" in api.host else api.host
    return Addresses(
        api=f"{HOST if host == '0.0.0.0' else host}:{api.port}",
        model_server=f"{HOST}:{settings.model_server_metrics_port}",
        supervisor=f"{HOST}:{settings.supervisor_port}" if settings.supervisor_port else None,
        prometheus=f"{HOST}:{settings.prometheus_port}",
        alertmanager=f"{HOST}:{settings.alertmanager_port}",
        pushgateway=f"{HOST}:{settings.pushgateway_port}",
        grafana=f"{HOST}:{settings.grafana_port}",
    )


def provide_keys(folder: Path) -> None:
    """Files with the keys that Alertmanager and Prometheus present; both read them again each time.

    Prometheus gets one only if the API asks for keys: the first key would make it ask everybody.
    """
    from serving.api.operations.provide_keys import provide_key

    provide_key(keys_of(hook=True), _ALERTMANAGER, folder / HOOK_KEY)
    if keys_of(hook=False).any():
        provide_key(keys_of(hook=False), _PROMETHEUS, folder / METRICS_KEY)
    elif not (folder / METRICS_KEY).exists():
        write_whole(folder / METRICS_KEY, "", mode=0o600)


def _require_free(ports: Mapping[str, str]) -> None:
    for name, address in ports.items():
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            continue
        raise AccidentsError(
            f"Something listens on {address} already, where {name} should. Stop it, or set another "
            f"{name}_port in configs/watch.yaml."
        )


def _require_running(running: Mapping[str, subprocess.Popen[bytes]], folder: Path) -> None:
    for name, process in running.items():
        if process.poll() is not None:
            log = folder / f"{name}.log"
            words = log.read_text(encoding="utf-8", errors="replace").strip()[-1000:]
            raise AccidentsError(
                f"{name} has ended (exit code {process.returncode}). Its log, {log.name}, says:\n{words}"
            )


def _say(at: Addresses, drawn: bool) -> None:
    lines = [
        f"Prometheus     http://{at.prometheus}",
        f"Alertmanager   http://{at.alertmanager}",
        f"Pushgateway    http://{at.pushgateway}",
        f"Grafana        http://{at.grafana}" if drawn else
        f"Grafana is not installed: import {DASHBOARDS}/*.json into one that reads http://{at.prometheus}.",
        f"The API is read at {at.api}; alerts that ask for the loop go to its hook. What to do about each "
        "alert: docs/alerts.md.",
        f"For the monitor to push: `pushgateway: http://{at.pushgateway}` in configs/loop.yaml.",
        "Ctrl-C ends all.",
    ]  # fmt: skip
    console.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)


def main() -> int:
    """Watch; 1 after an error told plainly."""
    try:
        prepare_environment(ROOT)  # with `keys_in: database` ZenML may know where that is
        watch()
    except (AccidentsError, StackError) as error:
        console.print(f"Error: {error}", markup=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
