"""Our images, built once a session from the Dockerfiles as `make images` does."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import ROOT
from tests.containers.engine import ENVIRONMENT, docker, require_engine
from tests.containers.platform_files import Platform, compose, model_repository, platform_folder

TAG = "test"


@pytest.fixture(scope="session")
def engine() -> None:
    require_engine()


@pytest.fixture(scope="session")
def base_image(engine: None) -> str:
    """The name of an image with Python: the official one, or one made here of Debian's packages."""
    with _alone():
        made = subprocess.run(
            [ROOT / ".ci" / "base-image"], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
    if made.returncode != 0:
        pytest.skip(f"no base image can be had here: {made.stderr[-500:]}")
    return made.stdout.strip()


@pytest.fixture(scope="session")
def images(base_image: str) -> dict[str, str]:
    """The names of our images, by what they are."""
    with _alone():
        made = subprocess.run(
            ["make", "images", f"BASE_IMAGE={base_image}", f"TAG={TAG}"],
            cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    return {name: f"road-accidents/{name}:{TAG}" for name in ("pipelines", "api", "model-server", "seldon")}


@pytest.fixture(scope="session")
def stand_ins(base_image: str) -> str:
    """The name of the image of docker-compose.stand-ins.yml."""
    name = "road-accidents/stand-ins:test"
    told = ("--build-arg", f"BASE_IMAGE={base_image}", "--tag", name)
    docker("build", "--quiet", *told, str(Path(__file__).parent / "stand_ins"), timeout=600)
    return name


@pytest.fixture(scope="session")
def platform(
    images: dict[str, str], stand_ins: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """The platform, started as `make up` does, with a model to serve."""
    with started_platform(tmp_path_factory) as (started, _):
        yield started


@contextmanager
def started_platform(factory: pytest.TempPathFactory, *options: str) -> Iterator[tuple[Platform, str]]:
    """One of its own, started with these options of compose; and what `make up` said."""
    models = factory.mktemp("models")
    model_repository(models)
    published = "API ZENML MLFLOW S3 PROMETHEUS ALERTMANAGER POSTGRES PUSHGATEWAY AIRFLOW"
    ports = {f"{name}_PORT": "0" for name in published.split()}
    name = {"COMPOSE_PROJECT_NAME": f"accidents-test-{uuid.uuid4().hex[:6]}", "MODELS": str(models)}
    made = Platform(platform_folder(factory.mktemp("platform")), {**ports, **name})
    try:
        done = made.up(*options)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        yield made, done.stdout
    finally:
        print(compose(made.folder, *options, "logs", "--no-color", "--tail=40", **made.variables).stdout)
        made.compose(*options, "down", "--volumes", "--remove-orphans")


def _alone() -> FileLock:
    """Of processes that run tests at once, one builds; for the others it is in the engine's cache then.

    Also of two sessions: `.ci/run` has `make containers` beside `make matrix`, and both give the same tag.
    """
    (ROOT / ".serving").mkdir(exist_ok=True)
    return FileLock(ROOT / ".serving" / "container-images.lock")
