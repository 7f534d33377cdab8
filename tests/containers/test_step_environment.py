"""A step's container finds passwords in its environment, and the engine shows them to nobody."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stacks.components.local_image.step_environment import hand_over
from tests.containers.engine import docker, inspect

pytestmark = [pytest.mark.containers, pytest.mark.slow]
ADDRESS = "postgresql://me:canary-of-the-log@127.0.0.1/log"


def test_the_engine_is_not_told_what_a_step_finds(images: dict[str, str], tmp_path: Path) -> None:
    told = hand_over({"ACCIDENTS_DATABASE_URL": ADDRESS}, tmp_path)
    variables = [word for name, value in told.items() for word in ("--env", f"{name}={value}")]
    as_it_runs = ("--read-only", "--cap-drop", "ALL", "--user", f"{os.getuid()}:{os.getgid()}")
    code = "import os; print(os.environ['ACCIDENTS_DATABASE_URL'])"
    name = docker(
        "run", "--detach", *as_it_runs, "--volume", f"{tmp_path}:/tmp", *variables, images["pipelines"],
        "python", "-c", code,
    )  # fmt: skip
    try:
        assert docker("wait", name) == "0"
        assert docker("logs", name) == ADDRESS
        assert "canary" not in json.dumps(inspect("container", name))
    finally:
        docker("rm", "--force", name)
    assert list(tmp_path.iterdir()) == [], "the step has deleted it"
