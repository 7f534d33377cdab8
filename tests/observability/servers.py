"""Prometheus, Alertmanager and the Pushgateway: real ones, on free ports, with the project's own files.

Only time is changed: every duration in those files is divided, so that a minute takes a second.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from observability.addresses import HOOK_KEY, METRICS_KEY, Addresses, write_configs
from observability.programs import commands, missing

needs_programs = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# `for: 1m`, `group_wait: 30s`, `[5m]`; numbers that are no durations stay.
DURATION = re.compile(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=: )(\d+)([smhd])$", re.MULTILINE)


@dataclass(frozen=True)
class Watch:
    """What runs, and questions to it."""

    folder: Path
    at: Addresses

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        answer = httpx.get(
            f"http://{self.at.prometheus}/api/v1/query", params={"query": expression}, trust_env=False
        )
        content = answer.json()
        assert content["status"] == "success", (expression, content)
        found: list[dict[str, Any]] = content["data"]["result"]
        return found

    def label_values(self, metric: str, label: str) -> list[str]:
        """What Grafana's label_values() gives."""
        address = f"http://{self.at.prometheus}/api/v1/label/{label}/values"
        found: list[str] = httpx.get(address, params={"match[]": metric}, trust_env=False).json()["data"]
        return found

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {one["metric"]["alertname"] for one in self.query('ALERTS{alertstate="firing"}')}


@contextmanager
def watching(
    folder: Path,
    api: str,
    model_server: str,
    hook_key: str,
    divisor: int = 60,
    supervisor: str = Addresses.supervisor,
) -> Iterator[Watch]:
    """All three, watching an API, a model server and its supervisor, if it has one (each host:port)."""
    prometheus, alertmanager, pushgateway = free_addresses(3)
    at = Addresses(api, model_server, prometheus, alertmanager, pushgateway, supervisor)
    write_configs(folder, at)
    hasten(folder, divisor)
    for name, key in ((HOOK_KEY, hook_key), (METRICS_KEY, "")):
        (folder / name).write_text(key, encoding="utf-8")
        (folder / name).chmod(0o600)
    with ExitStack() as stack:
        for name, words in commands(folder, at).items():
            stack.enter_context(program(name, words, getattr(at, name), folder))
        yield Watch(folder, at)


@contextmanager
def program(name: str, words: list[str], address: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One of them, ready; ended with the test."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(words, cwd=folder, stdout=output, stderr=output)
    try:
        until(lambda: _is_ready(process, address, log), f"{name} is ready", 30)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text(encoding="utf-8")
    try:
        return httpx.get(f"http://{address}/-/ready", trust_env=False, verify=False).status_code == 200
    except httpx.HTTPError:
        return False


def until(happened: Callable[[], Any], what: str, seconds: float) -> float:
    """Wait for it; how long that took."""
    begun = time.monotonic()
    while not happened():
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - begun


def hasten(folder: Path, divisor: int) -> None:
    """Divide every duration in the files of `folder`; none becomes shorter than a second."""
    for path in (*folder.glob("*.yml"), *folder.glob("rules/*.yml")):
        path.write_text(shorter(path.read_text(encoding="utf-8"), divisor), encoding="utf-8")


def shorter(text: str, divisor: int) -> str:
    """The text with its durations divided."""

    def divide(match: re.Match[str]) -> str:
        number, unit = (match[1], match[2]) if match[1] else (match[3], match[4])
        return f"{max(1, int(number) * UNITS[unit] // divisor)}s"

    return DURATION.sub(divide, text)


def free_addresses(count: int) -> list[str]:
    """So many free ports of this machine, as host:port."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
