"""A step's container whose run was killed (kill -9) is found by the next run; others are left alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from stacks.components.local_image.containers import (
    HOST,
    PROCESS,
    RUN,
    labels_of,
    remove_containers,
    remove_left_behind,
)
from tests.containers.engine import docker

pytestmark = [pytest.mark.containers, pytest.mark.slow]
PROJECT = "/a project of test_left_behind"


def started(image: str, step: str, **other: str) -> str:
    """A container as a step has it, with other labels if told so."""
    labels = labels_of(PROJECT, "a run", step) | other
    words = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    return docker("run", "--detach", *words, image, "sleep", "300")


@pytest.fixture
def ended_process() -> str:
    process = subprocess.Popen(["true"])
    process.wait()
    return str(process.pid)


@pytest.fixture(autouse=True)
def _removed(engine: None) -> Iterator[None]:
    yield
    remove_containers("a run")


def test_only_those_are_removed_for_which_no_process_of_this_machine_waits(
    base_image: str, ended_process: str
) -> None:
    waited_for = started(base_image, "train")
    elsewhere = started(base_image, "train", **{HOST: "another machine", PROCESS: ended_process})
    started(base_image, "evaluate", **{PROCESS: ended_process})
    assert remove_left_behind(PROJECT) == ["evaluate"]
    assert remove_left_behind(PROJECT) == []
    left = docker("ps", "--quiet", "--no-trunc", "--filter", f"label={RUN}=a run").split()
    assert sorted(left) == sorted([waited_for, elsewhere])
