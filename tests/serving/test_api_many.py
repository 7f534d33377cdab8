"""Several APIs as people start them, on one PostgreSQL: they agree, and add up."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from accidents.predictions.prediction_log import PredictionLog
from accidents.predictions.store import PredictionStore
from serving.api.operations.keys import Keys
from serving.api.operations.keys_in_database import StoredKeys
from tests.postgres import PostgresServer
from tests.serving.api_client import ACCIDENT
from tests.serving.api_process import ApiProcess, api_process
from tests.serving.v2_stand_in import StandIn, stand_in

pytest_plugins = ("tests.log_fixtures",)  # the fixture `postgres`
pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture(scope="module")
def address(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture(scope="module")
def two(
    address: str, model: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ApiProcess, ApiProcess]]:
    """APIs as on two machines: they share a store, and have no file in common."""
    told = {
        "database_url": address, "keys_in": "database", "limits_in": "database",
        "accidents_per_minute": "500", "wrong_keys_per_minute": "30", "model_timeout": "5",
    }  # fmt: skip
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    with (
        api_process(folders[0], model.address, **told) as one,
        api_process(folders[1], model.address, **told) as other,
    ):
        yield one, other


CLIENT = httpx.Client(trust_env=False, timeout=20, limits=httpx.Limits(max_keepalive_connections=0))


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    yield
    CLIENT.close()


def predict(api: ApiProcess, key: str | None = None, **accident: Any) -> httpx.Response:
    """Over a connection of its own, so that any process may get it."""
    headers = {"X-API-Key": key} if key else {}
    return CLIENT.post(f"{api.address}/predict?reasons=false", json=ACCIDENT | accident, headers=headers)


def predict_twenty(api: ApiProcess, key: str) -> int:
    body = {"accidents": [ACCIDENT] * 20}
    return CLIENT.post(f"{api.address}/predict/batch", json=body, headers={"X-API-Key": key}).status_code


def soon(what: Callable[[], bool], seconds: float = 5) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.05)
    return False


def counted(api: ApiProcess, metric: str, key: str = "") -> float:
    """The sum of a counter over its labels."""
    text = CLIENT.get(f"{api.address}/metrics", headers={"X-API-Key": key}).text
    return sum(float(value) for value in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", text, re.M))


def begin_of_a_minute() -> None:
    """Wait for one, unless this one will do: what is counted must not fall into two."""
    if time.time() % 60 > 35:
        time.sleep(61 - time.time() % 60)


@pytest.mark.slow
def test_two_apis_agree_on_keys_and_on_a_rate(
    two: tuple[ApiProcess, ApiProcess], address: str, tmp_path: Path
) -> None:
    one, other = two
    assert predict(one).status_code == predict(other).status_code == 200, "nobody is asked for a key yet"
    with closing(PredictionStore(address)) as store:
        keys = StoredKeys(store.keys(hook=False), watched=False)
        before = Keys(tmp_path / "keys.json")
        mine = before.new("control-room")
        assert keys.take_over(before.entries()) == ["control-room"]
        gone = keys.new("gone")
        for api in two:
            assert soon(lambda api=api: predict(api).status_code == 401), "both ask from the first key on"
            assert soon(lambda api=api: predict(api, gone).status_code == 200)
        keys.revoke("gone")
        assert keys.take_over(before.entries()) == [], "what was revoked does not come back either"
        for api in two:
            assert soon(lambda api=api: predict(api, gone).status_code == 401, 2)
        assert keys.names() == ["control-room"]

    begin_of_a_minute()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda k: predict_twenty(two[k % 2], mine), range(50)))
    assert set(answers) == {200, 429}
    assert 400 <= 20 * answers.count(200) <= 500, "never more than both together may, and not much less"

    wrong = [predict(two[k % 2], "acc_wrong").status_code for k in range(60)]
    assert 15 <= wrong.count(401) <= 30, "some were tried above"
    assert set(wrong[-10:]) == {429}


@pytest.mark.slow
def test_processes_of_one_machine_add_up_also_when_one_is_killed(
    postgres: PostgresServer, model: StandIn, tmp_path: Path
) -> None:
    address = postgres.new_database()
    told = {"database_url": address, "processes": "2", "model_timeout": "5"}
    with api_process(tmp_path, model.address, **told) as api:
        assert soon(lambda: len(workers(api)) == 2)
        assert soon(lambda: answers(api), 20)
        first = ask(api, 200)
        victim = workers(api)[0]
        os.kill(victim, signal.SIGKILL)
        assert soon(lambda: victim not in workers(api) and len(workers(api)) == 2, 20)
        time.sleep(1)
        second = ask(api, 200)
        forms = [predict(api, session="a form").status_code for _ in range(20)]
        with closing(PredictionLog(address)) as log:
            assert first + second == 400, log
            assert log.count() == counted(api, "accidents_predictions_total") + 1 == 401, "the form is open"
        assert forms == [200] * 20
        assert counted(api, "accidents_log_commit_rows_sum") == 420
        assert counted(api, "accidents_waiting") == 0
        assert counted(api, "accidents_ready") == 1
        text = CLIENT.get(f"{api.address}/metrics").text
        assert sorted(re.findall(r'process_open_fds{pid="(\d+)"}', text)) == sorted(map(str, workers(api)))
        last = workers(api)
    assert api.process.returncode == 0
    assert not any(psutil.pid_exists(pid) for pid in last)


def workers(api: ApiProcess) -> list[int]:
    """Those that can be asked: the others' gauges are not there yet."""
    return [child.pid for child in psutil.Process(api.process.pid).children()]


def answers(api: ApiProcess) -> bool:
    try:
        return CLIENT.get(f"{api.address}/health/ready").status_code == 200
    except httpx.HTTPError:
        return False


def ask(api: ApiProcess, count: int) -> int:
    """So many predictions, each over a connection of its own; how many were answered."""
    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(lambda _: predict(api).status_code == 200, range(count)))


@pytest.mark.slow
def test_processes_that_cannot_serve_end_all(model: StandIn, tmp_path: Path) -> None:
    """As told by the first of them, and not again and again."""
    refused = pytest.raises(AssertionError, match="holds no key")
    with refused, api_process(tmp_path, model.address, processes="2", host="0.0.0.0"):
        pass
