"""An API in front of several model servers: all are asked, and one that is gone is made up for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serving.api_client import ACCIDENT, api, error_of
from tests.serving.v2_stand_in import StandIn, stand_in


@pytest.fixture
def two() -> Iterator[tuple[StandIn, StandIn]]:
    with stand_in() as one, stand_in() as other:
        yield one, other


def test_calls_go_to_both_at_the_same_time(two: tuple[StandIn, StandIn], tmp_path: Path) -> None:
    for server in two:
        server.delay = 0.2
    addresses = ",".join(server.address for server in two)
    with api(tmp_path, addresses, rows_per_call=1) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/predict", json=ACCIDENT).status_code, range(8)))
    assert answers == [200] * 8
    assert min(server.calls for server in two) >= 3


def test_one_that_fails_is_made_up_for_and_comes_back(two: tuple[StandIn, StandIn], tmp_path: Path) -> None:
    one, other = two
    with api(tmp_path, ",".join(server.address for server in two)) as client:
        one.status = 503
        answers = [client.post("/predict", json=ACCIDENT).status_code for _ in range(10)]
        assert answers == [200] * 10
        assert one.calls < 10
        assert client.get("/health/ready").status_code == 200
        other.status = 503
        error_of(client.post("/predict", json=ACCIDENT), 503, "model_unavailable")
        one.status = 200
        assert client.post("/predict", json=ACCIDENT).status_code == 200


def test_one_that_hangs_costs_time_and_no_answer(two: tuple[StandIn, StandIn], tmp_path: Path) -> None:
    two[0].delay = 3
    addresses = ",".join(server.address for server in two)
    with api(tmp_path, addresses, model_timeout=0.5) as client:
        assert [client.post("/predict", json=ACCIDENT).status_code for _ in range(6)] == [200] * 6
    assert two[0].calls >= 1


def test_each_answer_says_the_version_that_gave_it(two: tuple[StandIn, StandIn], tmp_path: Path) -> None:
    """As in the middle of a switch."""
    two[1].version, two[1].digest = "2", "b" * 64
    with api(tmp_path, ",".join(server.address for server in two)) as client:
        told = {client.post("/predict", json=ACCIDENT).json()["model"]["version"] for _ in range(6)}
    assert told == {"1", "2"}
