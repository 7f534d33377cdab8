"""A trial from start to end with a real model server and a real API, while eight callers ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from accidents.predictions.prediction_log import PredictionLog
from accidents.rollout.traffic_split import is_in_share
from stacks.components.mlserver.server import ModelServer
from stacks.errors import StackError
from tests.load import Load
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
from tests.rollout.asking import ask, see, shadow_scores
from tests.serving.api_process import api_process

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


def test_no_request_fails_from_the_start_of_a_trial_to_its_end(
    server: ModelServer, versions: dict[str, Version], tmp_path: Path
) -> None:
    one, two, three = versions.values()
    deploy(server, "1", one)
    with api_process(tmp_path, client_of(server).url) as api, Load(api.address, ask, CALLERS) as load:
        see(load, ("1", "champion"))
        try_out(server, "2", two, "shadow")
        load.wait(lambda: shadow_scores(tmp_path)["2"] > 100)
        for share in (10, 50):  # from shadow to canary, and a larger share
            try_out(server, "2", two, "challenger", share)
            see(load, ("1", "champion"), ("2", "challenger"))
        assert [trial.role for trial in server.folder.trials(NAME)] == ["challenger"]
        deploy(server, "2", two)  # promoted
        see(load, ("2", "champion"))
        assert server.folder.trials(NAME) == []
        try_out(server, "3", three, "challenger", 90)
        see(load, ("2", "champion"), ("3", "challenger"))
        server.end_trials(NAME)  # rolled back
        see(load, ("2", "champion"))
    assert load.failed == []
    asked = [answer for answer in load.answers if answer["model"]["role"] == "challenger"]
    assert all(is_in_share(answer["accident_id"], 90) for answer in asked)
    with closing(PredictionLog(f"sqlite:///{tmp_path / 'predictions.db'}")) as log:
        logged = {row["request_id"]: (row["model_version"], row["role"]) for row in log.read()}
    assert all(
        logged[answer["request_id"]] == (answer["model"]["version"], answer["model"]["role"])
        for answer in load.answers
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
