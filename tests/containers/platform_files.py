"""The platform in a folder of a test's own, and a model for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import model_servers
from tests.conftest import ROOT
from tests.platform_parts import s3rver_folder

STAND_INS = ROOT / "tests" / "containers" / "docker-compose.stand-ins.yml"
FILES = ("-f", "docker-compose.yml", "-f", str(STAND_INS))


@dataclass(frozen=True)
class Platform:
    """One that runs."""

    folder: Path
    variables: dict[str, str]

    def compose(self, *words: str) -> str:
        """What `docker-compose WORDS` prints."""
        done = compose(self.folder, *FILES, *words, **self.variables)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout.strip()

    def up(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """What `make up` does once the images are built."""
        return up(self.folder, *FILES, *options, **self.variables | variables)

    def url(self, service: str, port: int) -> str:
        """Where a service is published."""
        return f"http://{self.compose('port', service, str(port))}"

    def run(self, service: str, *command: str) -> str:
        """What a command prints in a service's container."""
        return self.compose("exec", "-T", service, *command)

    def container(self, service: str) -> str:
        """Its id."""
        return self.compose("ps", "-q", service)

    @property
    def secrets(self) -> dict[str, str]:
        return secrets_of(self.folder)


def platform_folder(folder: Path) -> Path:
    """Lay it out there, with an .env of its own."""
    for name in ("docker-compose.yml", ".env.example"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "compose", folder / "compose")
    subprocess.run([folder / "compose" / "environment.sh"], check=True, capture_output=True)
    return folder


def secrets_of(folder: Path) -> dict[str, str]:
    """What its .env tells."""
    lines = (folder / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`docker-compose WORDS` there, with no variables but these and those of its own .env."""
    return _run(folder, [*_program(), *words], variables)


def up(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """compose/up.sh there, the same way."""
    return _run(folder, [str(folder / "compose" / "up.sh"), *_program(), *options], variables)


def profile(folder: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """compose/profile.sh there: whether there is a profile of that name."""
    return _run(folder, [str(folder / "compose" / "profile.sh"), name, *_program(), *options], {})


def _program() -> list[str]:
    program = next(filter(shutil.which, ("docker-compose", "docker")), None)
    if program is None:
        pytest.skip("docker-compose is not installed")
    return [program] if program == "docker-compose" else [program, "compose"]


def _run(folder: Path, command: list[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    engine = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    s3 = {"S3RVER": str(s3rver_folder()), "S3_SERVER": str(ROOT / "tests" / "s3_server.js")}
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), "TAG": "test", **s3, **engine, **variables}
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)


def model_repository(folder: Path, version: str = "7") -> model_servers.Version:
    """Fill a folder as the model server's container takes it at /models: MLServer's own layout."""
    made = model_servers.make_version(folder / model_servers.NAME, seed=1)
    settings = {
        "name": model_servers.NAME,
        "implementation": "serving.runtime.bundle_runtime.BundleRuntime",
        "parameters": {"uri": "bundle", "extra": {"version": version, "digest": made.bundle.digest}},
    }
    (folder / model_servers.NAME / "model-settings.json").write_text(json.dumps(settings))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return made
