"""A step's container finds passwords in its environment, and raw files in S3; the engine is told neither."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from accidents.data.data_versions import push, snapshot
from accidents.data.dataset import DVC_REMOTE
from stacks.components.handed_on import handed_on
from stacks.components.image_layout import STATE, WRITTEN
from stacks.components.local_image.step_environment import hand_over
from tests.accidents.data.test_versioning import repository, two_years
from tests.containers.engine import docker, inspect
from tests.platform_parts import S3_KEY, S3_SECRET, running_s3

__all__ = ["repository"]
pytestmark = [pytest.mark.containers, pytest.mark.slow]
ADDRESS = "postgresql://me:canary-of-the-log@127.0.0.1/log"
RESTORED = """
import os, sys, pathlib
from accidents.data.data_versions import restore
folder = restore(sys.argv[1], pathlib.Path("/tmp/back"), remote=os.environ["ACCIDENTS_DVC_REMOTE"])
for path in sorted(one for one in folder.rglob("*") if one.is_file()):
    print(path.relative_to(folder), path.stat().st_size)
"""


def in_container(image: str, folder: Path, environment: Mapping[str, str], *command: str) -> tuple[str, str]:
    """What a command says where steps run, and what the engine knows of its container."""
    temporary, state = folder / "tmp", folder / "state"
    for one in (temporary, *(state / name for name in WRITTEN)):
        one.mkdir(parents=True)
    told = hand_over(environment, temporary)
    variables = [word for name, value in told.items() for word in ("--env", f"{name}={value}")]
    as_it_runs = (
        "--read-only",
        "--cap-drop",
        "ALL",
        "--user",
        f"{os.getuid()}:{os.getgid()}",
        "--network",
        "host",
    )
    volumes = ("--volume", f"{temporary}:/tmp", "--volume", f"{state}:{STATE}")
    name = docker("run", "--detach", *as_it_runs, *volumes, *variables, image, *command)
    try:
        code, said = docker("wait", name, timeout=300), docker("logs", name)
        assert code == "0", said
        return said, json.dumps(inspect("container", name))
    finally:
        docker("rm", "--force", name)


def test_the_engine_is_not_told_what_a_step_finds(images: dict[str, str], tmp_path: Path) -> None:
    code = "import os; print(os.environ['ACCIDENTS_DATABASE_URL'])"
    environment = {"ACCIDENTS_DATABASE_URL": ADDRESS}
    said, known = in_container(images["pipelines"], tmp_path, environment, "python", "-c", code)
    assert said == ADDRESS
    assert "canary" not in known
    assert list((tmp_path / "tmp").iterdir()) == [], "the step has deleted it"


def test_raw_files_reach_a_step_from_s3(
    images: dict[str, str], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = two_years(tmp_path / "raw")
    with running_s3(tmp_path / "s3", "raw") as s3:
        login = {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET}
        for name, value in {**login, "AWS_ENDPOINT_URL": s3.url, "AWS_DEFAULT_REGION": "us-east-1"}.items():
            monkeypatch.setenv(name, value)
        version = snapshot(files, repository)
        push(version, "s3://raw/files", repository)
        environment = handed_on() | {DVC_REMOTE: "s3://raw/files"}
        folder = tmp_path / "step"
        said, known = in_container(
            images["pipelines"], folder, environment, "python", "-c", RESTORED, version
        )
    assert dict(line.rsplit(" ", 1) for line in said.splitlines()[-len(files) :]) == {
        inside: str(path.stat().st_size) for inside, path in files.items()
    }
    assert S3_SECRET not in known
