"""A container engine, as far as tests need one."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

# Debian's engine has the classic builder alone; the Dockerfiles need no other.
ENVIRONMENT = {**os.environ, "DOCKER_BUILDKIT": "0"}

# What a container of ours bears.
LOCKED_DOWN = (
    "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"
)  # fmt: skip


def require_engine() -> None:
    """Skip the test where no engine answers."""
    try:
        docker("version", timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no container engine answers here (.ci/container-engine starts one): {error}")


def docker(*words: str, timeout: float = 120) -> str:
    """What `docker WORDS` prints. Raises CalledProcessError with what it said."""
    done = subprocess.run(
        ["docker", *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, ["docker", *words], done.stdout, done.stderr)
    return done.stdout.strip()


def inspect(kind: str, name: str) -> dict[str, Any]:
    """What the engine knows of an image, a container, ..."""
    (found,) = json.loads(docker(kind, "inspect", name))
    return dict(found)


def run(image: str, *command: str, options: tuple[str, ...] = (), timeout: float = 120) -> str:
    """What a command prints in a container of its own."""
    return docker("run", "--rm", *options, image, *command, timeout=timeout)


@contextmanager
def network() -> Iterator[str]:
    """A network of the test's own."""
    name = f"accidents-test-{uuid.uuid4().hex[:8]}"
    docker("network", "create", name)
    try:
        yield name
    finally:
        docker("network", "rm", name)


@contextmanager
def volume() -> Iterator[str]:
    """A volume of the test's own."""
    name = docker("volume", "create")
    try:
        yield name
    finally:
        docker("volume", "rm", name)


@contextmanager
def container(image: str, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """A container in the background; gone with the test, which then shows what it said."""
    told = [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]
    name = docker("run", "--detach", *told, *options, image)
    try:
        yield name
    finally:
        print(subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=False))
        docker("rm", "--force", "--volumes", name)


@contextmanager
def every_container_looked_at() -> Iterator[dict[str, str]]:
    """What `docker inspect` shows of each container that starts meanwhile, by its id."""
    seen = dict[str, str]()
    words = [
        "docker",
        "events",
        "--filter",
        "type=container",
        "--filter",
        "event=start",
        "--format",
        "{{.ID}}",
    ]
    events = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def look() -> None:
        assert events.stdout
        for name in map(str.strip, events.stdout):
            shown = subprocess.run(["docker", "inspect", name], capture_output=True, text=True, check=False)
            seen[name] = shown.stdout

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        events.terminate()
        events.wait()
        looking.join()


def wait_until_healthy(name: str, seconds: float = 300) -> None:
    """Until the image's own health check says so."""
    end = time.monotonic() + seconds
    while (state := inspect("container", name)["State"])["Health"]["Status"] != "healthy":
        assert state["Running"], "it ended; what it said is below"
        assert time.monotonic() < end, state["Health"]
        time.sleep(0.5)


def address(name: str, port: int) -> str:
    """Where a port of a container is published."""
    return f"http://{docker('port', name, f'{port}/tcp').splitlines()[0]}"


def ask(url: str, body: Any = None, key: str = "") -> Any:
    """The JSON that a server answers."""
    headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        return json.load(answer)
