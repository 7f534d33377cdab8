"""Pipelines run in the pipelines' image, their state in a volume: what they make is what a laptop makes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.engine import LOCKED_DOWN, inspect, run, volume
from tests.pipelines.conftest import Project, make_project

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1200)]

STACK = ("--stack", "local")
# What the champion was made of, and what it came to.
CHAMPION = """
import json, pathlib, sys
sys.path.insert(0, ".")
from stacks.environment import prepare_environment
prepare_environment(pathlib.Path.cwd())
from commands.project import on_stack
on_stack("local")
from steps.support.champion_and_versions import champion, model_name
print(json.dumps(champion(model_name("dispatch")).run_metadata))
"""
SCORED = """
import hashlib, pathlib
for path in sorted(pathlib.Path("reports/inference").rglob("predictions*")):
    print(path, hashlib.sha256(path.read_bytes()).hexdigest())
"""


class InImage:
    """Commands in containers of the image, one after another, on one volume."""

    def __init__(self, image: str, state: str, params: Path) -> None:
        params.chmod(0o644)
        self.image = image
        self.options = (
            *LOCKED_DOWN,
            "--volume",
            f"{state}:/state",
            "--volume",
            f"{params}:/app/params.yaml:ro",
        )

    def __call__(self, *words: str) -> str:
        """What `python WORDS` prints."""
        return run(self.image, "python", *words, options=self.options, timeout=900)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A laptop's project, with a small experiment."""
    return make_project(tmp_path_factory.mktemp("laptop") / "project")


@pytest.fixture(scope="module")
def there(images: dict[str, str], here: Project) -> Iterator[InImage]:
    """The same experiment in the image, trained."""
    with volume() as state:
        command = InImage(images["pipelines"], state, here.folder / "params.yaml")
        command("run.py", "--pipeline", "train", *STACK)
        yield command


def test_a_version_trained_in_the_image_is_the_laptops(
    images: dict[str, str], here: Project, there: InImage
) -> None:
    here("--pipeline", "train", *STACK)
    expected: dict[str, Any] = json.loads(here.shell(sys.executable, "-c", CHAMPION).stdout)
    found: dict[str, Any] = json.loads(there("-c", CHAMPION))
    for name in ("identity", "code_version", "data_version", "bundle", "metrics"):
        assert found[name] == expected[name], name
    labels = inspect("image", images["pipelines"])["Config"]["Labels"]
    assert found["git_commit"] == labels["org.opencontainers.image.revision"]


def test_the_image_scores_what_the_laptop_scores(here: Project, there: InImage) -> None:
    for command in (here, lambda *words: there("run.py", *words)):
        command("--pipeline", "inference", "--input", "2022", *STACK)
    assert there("-c", SCORED) == here.shell(sys.executable, "-c", SCORED).stdout.strip()
