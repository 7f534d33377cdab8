"""The platform in a folder of a test's own, and a model for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import model_servers
from tests.conftest import ROOT

STAND_INS = ROOT / "tests" / "containers" / "docker-compose.stand-ins.yml"


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
    program = next(filter(shutil.which, ("docker-compose", "docker")), None)
    if program is None:
        pytest.skip("docker-compose is not installed")
    engine = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), "TAG": "test", **engine, **variables}
    command = [program] if program == "docker-compose" else [program, "compose"]
    return subprocess.run(
        [*command, *words], cwd=folder, env=own, capture_output=True, text=True, check=False
    )


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
