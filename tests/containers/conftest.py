"""Our images, built once a session from the Dockerfiles as `make images` does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import ROOT
from tests.containers.engine import ENVIRONMENT, require_engine

TAG = "test"


@pytest.fixture(scope="session")
def engine() -> None:
    require_engine()


@pytest.fixture(scope="session")
def base_image(engine: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image with Python: the official one, or one made here of Debian's packages."""
    with _alone(tmp_path_factory):
        made = subprocess.run(
            [ROOT / ".ci" / "base-image"], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
    if made.returncode != 0:
        pytest.skip(f"no base image can be had here: {made.stderr[-500:]}")
    return made.stdout.strip()


@pytest.fixture(scope="session")
def images(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The names of our images, by what they are."""
    with _alone(tmp_path_factory):
        made = subprocess.run(
            ["make", "images", f"BASE_IMAGE={base_image}", f"TAG={TAG}"],
            cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    return {name: f"road-accidents/{name}:{TAG}" for name in ("pipelines", "api", "model-server")}


def _alone(factory: pytest.TempPathFactory) -> FileLock:
    """Of processes that run tests at once, one builds; for the others it is in the engine's cache then."""
    base: Path = factory.getbasetemp()
    return FileLock(base.parent / "container-images.lock")
