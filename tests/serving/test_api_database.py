"""The prediction log's database goes away under a running API, and comes back: 503, then 200, no restart."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import httpx
import pytest

from accidents.predictions.prediction_log import PredictionLog
from tests.postgres import PostgresServer
from tests.serving.api_process import api_process
from tests.serving.test_api_process import ACCIDENT, client_for, model
from tests.serving.v2_stand_in import StandIn

pytest_plugins = ("tests.log_fixtures",)  # `postgres`
pytestmark = [pytest.mark.slow, pytest.mark.server]
__all__ = ["model"]  # a fixture


def asked(client: httpx.Client) -> httpx.Response:
    """An answer within three seconds, whatever state the log is in."""
    begun = time.perf_counter()
    answer = client.post("/predict?reasons=false", json=ACCIDENT)
    assert time.perf_counter() - begun < 3
    return answer


def is_back(client: httpx.Client) -> bool:
    """Whether predictions go on within ten seconds."""
    for _ in range(50):
        if asked(client).status_code == 200:
            return True
        time.sleep(0.2)
    return False


def is_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "log_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1


def test_postgresql_stops_and_starts(model: StandIn, postgres: PostgresServer, tmp_path: Path) -> None:
    address = postgres.new_database()
    with (
        api_process(tmp_path, model.address, database_url=address) as process,
        client_for(process) as client,
    ):
        confirmed = [asked(client).json()["request_id"] for _ in range(20)]
        postgres.stop()
        try:
            is_refused(asked(client))
            answer = client.get("/health/ready")
            assert answer.status_code == 503
            assert "127.0.0.1" not in answer.text, "where it is, is told to nobody"
            assert str(postgres.port) not in answer.text
        finally:
            postgres.start()
        assert is_back(client)
        assert address.split(":")[2].split("@")[0] not in process.log.read_text()  # the password
    log = PredictionLog(address)
    assert set(confirmed) <= {row["request_id"] for row in log.read()}
    log.close()


def test_a_full_disk_and_then_room_again(model: StandIn, tmp_path: Path) -> None:
    with api_process(tmp_path, model.address) as process, client_for(process) as client:
        assert asked(client).status_code == 200
        pid, unlimited = process.process.pid, resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (300_000, unlimited))
        for _ in range(2_000):
            answer = asked(client)
            if answer.status_code != 200:
                break
        is_refused(answer)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        assert is_back(client)
