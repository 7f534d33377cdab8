"""A real registry of images, Debian's `docker-registry`, on loopback, with a login."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest
import yaml

from tests.processes import free_port

USER = "releases"


@dataclass(frozen=True)
class Registry:
    """Where it is, and its login."""

    host: str
    password: str

    @property
    def login(self) -> dict[str, str]:
        return {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": self.password}


@contextmanager
def running_registry(folder: Path) -> Iterator[Registry]:
    """One with nothing in it; skips where Debian's is not installed."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (.ci/system-packages)")
    host, password = f"127.0.0.1:{free_port()}", secrets.token_urlsafe(12)
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    (folder / "users").write_text(f"{USER}:{hashed}\n")
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": host},
        "auth": {"htpasswd": {"realm": "tests", "path": str(folder / "users")}},
        "log": {"level": "error", "accesslog": {"disabled": True}},
    }
    (folder / "registry.yml").write_text(yaml.safe_dump(settings))
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([program, "serve", str(folder / "registry.yml")], stdout=log, stderr=log) as process,
    ):
        try:
            _wait(host, folder / "log")
            yield Registry(host, password)
        finally:
            process.terminate()


def _wait(host: str, log: Path) -> None:
    opener, end = urllib.request.build_opener(urllib.request.ProxyHandler({})), time.monotonic() + 30
    while time.monotonic() < end:
        try:
            opener.open(f"http://{host}/v2/", timeout=5)
        except urllib.error.HTTPError:  # it wants a login
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the registry does not start: {log.read_text()}")
