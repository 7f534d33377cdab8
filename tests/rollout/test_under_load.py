"""A trial from start to end with a real model server and a real API, while eight callers ask."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from accidents.predictions.log import PredictionLog
from accidents.rollout.roles import is_in_share
from stacks.components.mlserver.server import ModelServer
from stacks.errors import StackError
from tests.model_servers import (
    NAME,
    Version,
    broken,
    client_of,
    copy_code,
    deploy,
    make_version,
    model_server,
)
from tests.predictions import connected
from tests.serving.api_client import ACCIDENT
from tests.serving.api_process import ApiProcess, api_process

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]
CALLERS = 8


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Version]:
    return {number: make_version(tmp_path_factory.mktemp("version"), int(number)) for number in "123"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    code = copy_code(tmp_path_factory.mktemp("code"))
    with model_server(tmp_path_factory.mktemp("server"), code) as running:
        yield running


def try_out(server: ModelServer, number: str, version: Version, role: str, share: int = 0) -> None:
    server.try_out(NAME, number, version.bundle.folder, version.golden, role, share)


class Load:
    """Callers that ask without pause, each for accidents of its own; what they were answered."""

    def __init__(self, api: ApiProcess) -> None:
        self._api, self._stop = api, threading.Event()
        self.answers: list[dict[str, Any]] = []
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(k,)) for k in range(CALLERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, caller: int) -> None:
        number = 0
        with httpx.Client(base_url=self._api.address, trust_env=False, timeout=30) as client:
            while not self._stop.is_set():
                number += 1
                own = {"accident_id": f"{caller}-{number % 200}", "speed_limit": 10 + number % 12 * 10}
                try:
                    answer = client.post("/predict?reasons=false", json=ACCIDENT | own)
                    answer.raise_for_status()
                    self.answers.append(answer.json())
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))

    def see(self, *seen: tuple[str, str]) -> None:
        """Wait until these (version, role), and no others, are answered."""
        self.wait(lambda: _seen(self.answers[-80:]).keys() == set(seen))

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds, after at least 80 answers from now on."""
        begun, deadline = len(self.answers), time.monotonic() + 120
        while time.monotonic() < deadline:
            if len(self.answers) - begun > 80 and condition():
                return
            time.sleep(0.1)
        raise AssertionError(f"{_seen(self.answers[-80:])}; failed: {self.failed[:3]}")


def _seen(answers: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((one["model"]["version"], one["model"]["role"]) for one in answers)


def shadow_scores(folder: Path) -> Counter[str]:
    with connected(f"sqlite:///{folder / 'predictions.db'}") as connection:
        return Counter(connection.scalars(text("SELECT model_version FROM shadow_scores")))


def test_no_request_fails_from_the_start_of_a_trial_to_its_end(
    server: ModelServer, versions: dict[str, Version], tmp_path: Path
) -> None:
    one, two, three = versions.values()
    deploy(server, "1", one)
    with api_process(tmp_path, client_of(server).url) as api, Load(api) as load:
        load.see(("1", "champion"))
        try_out(server, "2", two, "shadow")
        load.wait(lambda: shadow_scores(tmp_path)["2"] > 100)
        for share in (10, 50):  # from shadow to canary, and a larger share
            try_out(server, "2", two, "challenger", share)
            load.see(("1", "champion"), ("2", "challenger"))
        assert [one.role for one in server.folder.trials(NAME)] == ["challenger"]
        deploy(server, "2", two)  # promoted
        load.see(("2", "champion"))
        assert server.folder.trials(NAME) == []
        try_out(server, "3", three, "challenger", 90)
        load.see(("2", "champion"), ("3", "challenger"))
        server.end_trials(NAME)  # rolled back
        load.see(("2", "champion"))
    assert load.failed == []
    asked = [one for one in load.answers if one["model"]["role"] == "challenger"]
    assert all(is_in_share(one["accident_id"], 90) for one in asked)
    with closing(PredictionLog(f"sqlite:///{tmp_path / 'predictions.db'}")) as log:
        logged = {row["request_id"]: (row["model_version"], row["role"]) for row in log.read()}
    assert all(
        logged[one["request_id"]] == (one["model"]["version"], one["model"]["role"]) for one in load.answers
    )


def test_a_trial_that_cannot_be_served_is_refused_and_changes_nothing(
    server: ModelServer, versions: dict[str, Version], tmp_path: Path
) -> None:
    one, two, _ = versions.values()
    deploy(server, "1", one)
    try_out(server, "2", two, "challenger", 20)
    before = server.folder.trials(NAME)
    with pytest.raises(StackError, match=r"trees\.txt"):
        try_out(server, "3", broken(two, tmp_path / "broken"), "challenger", 20)
    with pytest.raises(StackError, match="is the one that is served"):
        try_out(server, "1", one, "shadow")
    assert server.folder.trials(NAME) == before
    with pytest.raises(StackError, match="No version of another is served"):
        server.try_out("another", "2", two.bundle.folder, two.golden, "shadow", 0)


def test_what_is_on_trial_comes_back_with_a_server_and_goes_with_its_model(
    server: ModelServer, versions: dict[str, Version]
) -> None:
    one, two, three = versions.values()
    deploy(server, "1", one)
    try_out(server, "2", two, "challenger", 20)
    try_out(server, "3", three, "shadow")
    daemon = server.daemon()
    assert daemon is not None
    server.pause()
    assert server.bring_back()
    client = client_of(server)
    assert [client.is_ready(f"{NAME}-{role}") for role in ("challenger", "shadow")] == [True, True]
    server.stop(NAME)
    assert server.folder.served() == {}
    assert server.daemon() is None
