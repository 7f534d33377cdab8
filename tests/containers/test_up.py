"""compose/up.sh and engine.sh: what they say of services that do not become well, and where no engine is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.containers.engine import docker
from tests.containers.platform_files import compose, up

SERVICES = """
services:
  well: {{image: {image}, command: [sleep, "300"], stop_signal: SIGKILL}}
  done: {{image: {image}, command: ["true"]}}
  taken: {{image: {image}, command: [sleep, "300"], stop_signal: SIGKILL, ports: ["127.0.0.1:{port}:80"]}}
"""
UNWELL = """
services:
  well: {{image: {image}, command: [sleep, "300"], stop_signal: SIGKILL}}
  ends: {{image: {image}, command: [sh, -c, "echo there is no such setting; exit 3"]}}
  sick:
    image: {image}
    command: [sleep, "300"]
    stop_signal: SIGKILL
    healthcheck: {{test: ["CMD", "false"], interval: 1s, retries: 1}}
  greedy:
    image: {image}
    command: [python3, -c, "print(len(bytearray(200_000_000)))"]
    mem_limit: 32m
    memswap_limit: 32m
  full:
    image: {image}
    command: [dd, if=/dev/zero, of=/small/file, bs=1M]
    tmpfs: ["/small:size=1m"]
  password: {{image: {image}, command: [sh, -c, "echo password authentication failed for user x; exit 1"]}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(ROOT / "compose", tmp_path / "compose")
    yield tmp_path
    if (tmp_path / "docker-compose.yml").exists():
        assert compose(tmp_path, "down", "--timeout", "0", **name_of(tmp_path)).returncode == 0


def name_of(folder: Path) -> dict[str, str]:
    """What its containers are called."""
    return {"COMPOSE_PROJECT_NAME": f"accidents-up-{uuid.uuid5(uuid.NAMESPACE_URL, str(folder)).hex[:6]}"}


@pytest.mark.containers
def test_what_is_not_well_is_named_with_its_reason_and_a_remedy(folder: Path, stand_ins: str) -> None:
    (folder / "docker-compose.yml").write_text(UNWELL.format(image=stand_ins), encoding="utf-8")
    done = up(folder, UP_SECONDS="15", **name_of(folder))
    assert done.returncode == 1
    said = done.stderr[done.stderr.index("\n\n") :]  # after what compose says as it starts them
    assert "ends is exited, exit code 3." in said
    assert "  | there is no such setting" in said
    assert "sick is running, unhealthy." in said
    assert "It took more memory than its mem_limit" in said
    assert "The disk is full" in said
    assert "give .env the old one back" in said
    assert "well is" not in said
    assert "Not all of it started." in said


@pytest.mark.containers
def test_a_port_that_is_taken_is_said_and_the_rest_starts(folder: Path, stand_ins: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = SERVICES.format(image=stand_ins, port=port)
        (folder / "docker-compose.yml").write_text(text, encoding="utf-8")
        done = up(folder, **name_of(folder))
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Something else has that port: name another one in .env" in done.stderr
    again = up(folder, **name_of(folder))
    assert again.returncode == 0, again.stderr


@pytest.mark.containers
def test_images_that_are_not_here_are_named(folder: Path, stand_ins: str) -> None:
    missing = "registry.invalid/road-accidents/api:none"
    text = SERVICES.format(image=stand_ins, port=0) + f"  api: {{image: '{missing}'}}\n"
    (folder / "docker-compose.yml").write_text(text, encoding="utf-8")
    done = up(folder, **name_of(folder))
    assert done.returncode == 1
    said = done.stderr[done.stderr.index("Images that are not on this machine:") :].splitlines()
    assert said[1] == f"  {missing}"
    assert said[2].startswith("Ours: make images.")


def test_an_engine_that_does_not_run_is_said_before_anything_is_built() -> None:
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    elsewhere = {**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:1"}
    for target in ("up", "images", "down"):
        done = subprocess.run(["make", target], cwd=ROOT, env=elsewhere, capture_output=True, text=True)
        assert done.returncode != 0
        first, second = done.stderr.splitlines()[:2]
        assert first.startswith("Docker's engine does not answer: Cannot connect"), target
        assert second.startswith("Start it"), target


def test_docker_that_is_not_installed_is_said(tmp_path: Path) -> None:
    for program in ("sh", "id", "tail"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    done = subprocess.run(
        [ROOT / "compose" / "engine.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Docker is not installed: https://")


@pytest.fixture
def image_of_another_commit(engine: None) -> Iterator[str]:
    """The tag of an image that bears a commit which this checkout does not have."""
    tag, commit = f"test-{uuid.uuid4().hex[:6]}", "0123456789abcdef0123456789abcdef01234567"
    label = f"LABEL org.opencontainers.image.revision={commit}"
    subprocess.run(
        ["docker", "import", "--change", label, "-", f"road-accidents/api:{tag}"],
        input=b"\0" * 1024, check=True, capture_output=True,
    )  # fmt: skip
    yield tag
    docker("image", "rm", f"road-accidents/api:{tag}")


@pytest.mark.containers
def test_a_checkout_older_than_the_images_does_not_replace_them(image_of_another_commit: str) -> None:
    script = ROOT / "compose" / "checkout.sh"
    done = subprocess.run([script, image_of_another_commit], capture_output=True, text=True)
    assert done.returncode == 1
    assert "made of commit 0123456789abcdef" in done.stderr
    assert "git pull" in done.stderr
    assert subprocess.run([script, "no-such-tag"], capture_output=True).returncode == 0
