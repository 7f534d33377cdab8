"""The API as people start it: a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stacks import locked_environments
from tests.conftest import ROOT
from tests.serving.v2_stand_in import NAME


@dataclass
class ApiProcess:
    """A running API: its process, its address, and the file it writes its own log to."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def environment(folder: Path, model_server: str, **changes: str) -> dict[str, str]:
    """Variables for an API whose keys and log are in `folder`."""
    ours = {
        "ACCIDENTS_PORT": "0",
        "ACCIDENTS_MODEL_SERVER": model_server,
        "ACCIDENTS_MODEL_NAME": NAME,
        "ACCIDENTS_DATABASE_URL": f"sqlite:///{folder / 'predictions.db'}",
        "ACCIDENTS_KEYS_FILE": str(folder / "keys.json"),
    }
    return {**os.environ, **ours, **{f"ACCIDENTS_{name.upper()}": value for name, value in changes.items()}}


@contextmanager
def api_process(folder: Path, model_server: str, **changes: str) -> Iterator[ApiProcess]:
    """A running one; it is ended with the test."""
    log = folder / "api.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(_python()), "-m", "serving.api"],
            cwd=ROOT,
            env=environment(folder, model_server, **changes),
            stdout=output,
            stderr=output,
        )
    try:
        yield ApiProcess(process, _address(process, log), log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _python() -> Path:
    """Of the API's own environment: what is not in its lock is not there."""
    return locked_environments.environment(
        ROOT / "requirements" / "api.txt", ROOT / ".serving" / "environments"
    )


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(600):
        found = re.search(r"running on (http://[\d.:]+)", log.read_text(encoding="utf-8"))
        if found:
            return found[1]
        assert process.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))
