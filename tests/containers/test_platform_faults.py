"""The platform of docker-compose.yml when a part breaks: what is said, what comes back, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import pytest

from tests.conftest import ROOT
from tests.containers.engine import ask, inspect, wait_until_healthy
from tests.containers.platform_files import Platform

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1200)]

ACCIDENT = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))


class Caller(threading.Thread):
    """Somebody who asks for a prediction again and again."""

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self.platform = platform
        self.key = platform.run("api", "cat", ".serving/caller")
        self.answered: list[str] = []
        self.refused: list[str] = []
        self.ended = threading.Event()

    def run(self) -> None:
        url = ""
        while not self.ended.is_set():
            try:
                # Anew after a failure: the engine gives a container that it restarts another port.
                url = url or f"{self.platform.url('api', 8000)}/predict"
                self.answered.append(ask(url, ACCIDENT, self.key)["request_id"])
            except urllib.error.HTTPError as error:
                self.refused.append(f"{error.code} {error.read().decode()}")
            except (OSError, HTTPException, AssertionError):  # nobody listens
                url = ""
                time.sleep(0.5)

    def wait_for_answers(self, count: int, seconds: float = 120) -> None:
        """Until it got so many more."""
        wanted, end = len(self.answered) + count, time.monotonic() + seconds
        while len(self.answered) < wanted:
            assert time.monotonic() < end, self.refused[-3:]
            time.sleep(0.1)


@contextmanager
def calling(platform: Platform) -> Iterator[Caller]:
    caller = Caller(platform)
    caller.start()
    try:
        caller.wait_for_answers(3)
        yield caller
    finally:
        caller.ended.set()
        caller.join()


def logged(platform: Platform) -> set[str]:
    """The ids in the prediction log."""
    ids = "SELECT request_id FROM predictions"
    return set(
        platform.run("postgres", "psql", "-U", "predictions", "-d", "predictions", "-Atc", ids).split()
    )


@pytest.mark.parametrize("service", ["api", "model-server", "postgres"])
def test_what_is_killed_comes_back_and_no_answer_is_missing_in_the_log(
    platform: Platform, service: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root kills a container's process past the engine, which would not bring it back")
    name = platform.container(service)
    before = inspect("container", name)
    with calling(platform) as caller:
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        end = time.monotonic() + 60
        while inspect("container", name)["RestartCount"] == before["RestartCount"]:
            assert time.monotonic() < end
            time.sleep(0.2)
        caller.wait_for_answers(5)
    wait_until_healthy(name)
    assert set(caller.answered) <= logged(platform)
    assert all(said.startswith("503 ") for said in caller.refused), caller.refused


def test_postgresql_is_restarted_under_the_api(platform: Platform) -> None:
    with calling(platform) as caller:
        platform.compose("restart", "postgres")
        caller.wait_for_answers(5)
    assert set(caller.answered) <= logged(platform)
    assert all(said.startswith("503 ") for said in caller.refused), caller.refused


def test_down_and_up_again_with_what_it_stored(platform: Platform) -> None:
    with calling(platform):
        pass
    before, key = logged(platform), platform.run("api", "cat", ".serving/caller")
    platform.compose("down")
    done = platform.up()
    assert done.returncode == 0, done.stderr
    assert logged(platform) == before
    assert platform.run("api", "cat", ".serving/caller") == key
    assert f"http://{platform.compose('port', 'api', '8000')}" in done.stdout


def test_another_password_than_the_volumes_is_named_with_its_remedy(platform: Platform) -> None:
    override = platform.folder / "another-password.yml"
    address = "postgresql+psycopg://predictions:another@postgres:5432/predictions"
    override.write_text(f"services: {{api: {{environment: {{ACCIDENTS_DATABASE_URL: '{address}'}}}}}}\n")
    try:
        done = platform.up("-f", str(override), UP_SECONDS="30")
        assert done.returncode == 1
        assert "api is " in done.stderr
        assert "give .env the old one back" in done.stderr
        assert "another@" not in done.stderr
    finally:
        platform.compose("up", "--detach", "api")
