"""Stack `staging`, its steps and model server in containers: raw files come from S3, no secret is told.

Its servers are real, on this machine's loopback, as stack `docker` reaches its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from accidents.data.sources.sample import write_sample
from tests import postgres
from tests.containers.conftest import TAG
from tests.containers.engine import docker, every_container_looked_at
from tests.pipelines.conftest import Project
from tests.platform_parts import PASSWORD, S3_KEY, S3_SECRET
from tests.processes import kill_all_of
from tests.servers.conftest import SESSION_TOKEN, Platform, platform, tiny_project
from tests.servers.matrix import found_on

__all__ = ["platform"]
pytestmark = [
    pytest.mark.containers,
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif("PLATFORM_TESTS" not in os.environ, reason="takes minutes: make platform"),
]

ORCHESTRATOR = "flavor: ${ACCIDENTS_ORCHESTRATOR:-local}"
SECRETS = (S3_KEY, S3_SECRET, SESSION_TOKEN, PASSWORD, postgres.PASSWORD)
RAW = "files"  # where in bucket `raw` DVC's remote is


@pytest.fixture(scope="module")
def project(
    platform: Platform, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    made = tiny_project(tmp_path_factory.mktemp("staging") / "a project")
    made.timeout = 1_800  # each step is a container, which imports everything anew
    platform.settle(made)
    made.environment |= {
        "ACCIDENTS_ORCHESTRATOR": "local_image",
        "MODEL_SERVER_IMAGE": images["model-server"],
        "ACCIDENTS_DVC_REMOTE": f"s3://raw/{RAW}",
        "AWS_ENDPOINT_URL": platform.s3.url,
        "AWS_ACCESS_KEY_ID": S3_KEY,
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    stack = made.folder / "stacks" / "staging.yaml"
    text = stack.read_text(encoding="utf-8")
    image = f"{ORCHESTRATOR}\n    config: {{image: {images['pipelines']}}}\n   "
    assert ORCHESTRATOR in text
    stack.write_text(text.replace(ORCHESTRATOR, image), encoding="utf-8")
    made("database", "upgrade", "--stack", "staging")
    yield made
    made("stop", "--stack", "staging", check=False)
    kill_all_of(made.folder)


def test_raw_files_reach_the_steps_by_s3_and_the_model_is_that_of_stack_bare(
    project: Project, platform: Platform, tmp_path: Path
) -> None:
    """Files of a folder: the sample's a step would make anew."""
    write_sample(tmp_path / "published", [2021, 2022], 1_500, seed=3)
    (tmp_path / "published" / "SYNTHETIC.txt").unlink()
    from_folder = {"train": ("--source", str(tmp_path / "published"))}
    with every_container_looked_at() as seen:
        found = found_on("staging", project, from_folder)
    steps = [each for each in seen.values() if '"accidents.step"' in each]
    assert any('"accidents.step": "load_data"' in each for each in steps)
    assert not [each for each in steps if str(tmp_path) in each], "no step sees the folder"
    assert [path for path in (platform.s3.folder / "data" / "raw" / RAW).rglob("*") if path.is_file()]
    assert any("road-accidents/model-server" in each for each in seen.values()), "it serves in a container"
    everything = [found.said, *seen.values(), *map(history, ("pipelines", "model-server"))]
    assert not [secret for secret in SECRETS for text in everything if secret in text]
    bare = tiny_project(tmp_path / "bare")
    found.assert_same_as(found_on("bare", bare, from_folder))


def test_no_secret_is_left_in_a_file_of_the_steps(project: Project) -> None:
    files = [path for path in (project.folder / ".zenml" / "steps").rglob("*") if path.is_file()]
    files += [path for path in (project.folder / ".serving").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if any(one.encode() in path.read_bytes() for one in SECRETS)]


def history(name: str) -> str:
    """How an image was made, step by step."""
    image = f"road-accidents/{name}:{TAG}"
    return docker("history", "--no-trunc", image) + json.dumps(json.loads(docker("image", "inspect", image)))
