"""Load on a server of this machine, by wrk: it takes little of the processor that is measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accidents.errors import AccidentsError
from benchmarks.options import SkippedError

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Load:
    """What `clients` clients saw, each sending its next request when the last was answered."""

    clients: int
    requests: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    failed: int  # not answered, or not with 2xx or 3xx

    @property
    def per_second(self) -> float:
        """Requests answered well, per second."""
        return (self.requests - self.failed) / self.seconds


def load(
    url: str, bodies: Sequence[Any], clients: int, seconds: int, headers: Mapping[str, str] | None = None
) -> Load:
    """POST the bodies in turn for some seconds; wrk warms up its connections by itself.

    Raises SkippedError where wrk is not installed, AccidentsError if it fails.
    """
    if shutil.which("wrk") is None:
        raise SkippedError("it needs wrk: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "bodies.txt"
        lines.write_text("\n".join(json.dumps(body) for body in bodies), encoding="utf-8")
        words = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT), url]
        extra = [f"{name}: {value}" for name, value in (headers or {}).items()]
        done = subprocess.run([*words, "--", str(lines), *extra], capture_output=True, text=True)
    figures = [line.removeprefix("JSON") for line in done.stdout.splitlines() if line.startswith("JSON{")]
    if done.returncode or not figures:
        raise AccidentsError(f"wrk on {url} ended with {done.returncode}: {done.stderr or done.stdout}")
    return Load(clients=clients, **json.loads(figures[0]))
