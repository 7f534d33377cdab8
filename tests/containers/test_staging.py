"""From a laptop to the platform: it is up, `stack apply staging`, train, and serve from a container."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.containers.engine import docker
from tests.containers.platform_files import Platform
from tests.pipelines.conftest import Project
from tests.servers.conftest import tiny_project

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1800)]

# Where the champion's bundle is.
PLACE = """
from stacks.apply import use_stack
use_stack("staging")
from zenml.client import Client
from steps.support import champion_and_versions
version = champion_and_versions.champion(champion_and_versions.model_name("dispatch"))
print(champion_and_versions.bundle_artifact(version).uri)
"""


@pytest.fixture
def laptop(platform: Platform, tmp_path: Path) -> Project:
    """A project beside the platform, with the .env that `make up` has written; the ports are the test's."""
    made = tiny_project(tmp_path / "a project")
    shutil.copy(platform.folder / ".env", made.folder / ".env")
    made.environment |= {
        "S3_ENDPOINT": platform.url("s3", 7070),
        "MLFLOW_SERVER": platform.url("mlflow", 5000),
    }
    return made


def test_the_same_pipelines_run_on_the_platform(
    platform: Platform, laptop: Project, images: dict[str, str]
) -> None:
    applied = laptop("stack", "apply", "staging").stdout
    assert "created artifact_store" in applied
    assert not [name for name, value in platform.secrets.items() if name.endswith("KEY") and value in applied]
    checked = laptop("stack", "check", "staging").stdout
    assert "wrote, read and deleted an object in s3://zenml" in checked
    assert "logged and deleted a run at http" in checked
    trained = laptop("--pipeline", "train", "--stack", "staging").stdout
    assert "This is version 1, newly registered; champion: version 1. Stack staging." in trained
    assert laptop.python(PLACE).strip().splitlines()[-1].startswith("s3://zenml/")
    laptop.environment["MODEL_SERVER_IMAGE"] = images["model-server"]
    laptop("--pipeline", "deploy", "--stack", "staging")
    try:
        assert "healthy" in laptop("status", "--stack", "staging").stdout
        served = laptop.folder / ".serving" / "model-server"
        assert docker("ps", "--quiet", "--filter", f"volume={served}"), "it serves in a container"
    finally:
        laptop("stop", "--stack", "staging")
