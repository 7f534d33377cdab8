"""What the API does while the model server is gone, slow, wrong or changed; and how accidents go together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from accidents.features import feature_names
from serving.api.errors import ApiError
from serving.api.predicting.batching import Batcher, Score
from serving.api.predicting.model_server import ModelServer
from serving.api.schema.answers import ReadyAnswer
from tests.serving.api_client import ACCIDENT, api, error_of
from tests.serving.v2_stand_in import NAME, StandIn, probability, stand_in


@pytest.fixture
def model() -> Iterator[StandIn]:
    with stand_in() as model:
        yield model


@pytest.fixture
def client(model: StandIn, tmp_path: Path) -> Iterator[TestClient]:
    with api(tmp_path, model.address, model_timeout=0.5) as client:
        yield client


def predict(client: TestClient, **fields: Any) -> Any:
    return client.post("/predict?reasons=false", json=ACCIDENT | fields)


def ready(client: TestClient, status: int) -> dict[str, Any]:
    """The answer of /health/ready once it has this status; it may be a second old."""
    for _ in range(30):
        answer = client.get("/health/ready")
        ReadyAnswer.model_validate(answer.json(), strict=True)
        if answer.status_code == status:
            content: dict[str, Any] = answer.json()
            return content
        time.sleep(0.1)
    raise AssertionError(answer.text)


def test_a_model_server_that_is_gone_is_503_and_its_return_needs_nothing(tmp_path: Path) -> None:
    with stand_in() as gone:
        port = int(gone.address.rpartition(":")[2])
    with api(tmp_path, gone.address, model_timeout=0.5) as client:
        begun = time.perf_counter()
        answer = predict(client)
        assert time.perf_counter() - begun < 1
        error_of(answer, 503, "model_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert ready(client, 503)["model_server"] == "unavailable"
        with stand_in(port):
            assert predict(client).status_code == 200
            assert ready(client, 200)["model"]["version"] == "1"
        error_of(predict(client), 503, "model_unavailable")


def test_a_slow_model_server_is_503_within_a_second(client: TestClient, model: StandIn) -> None:
    model.delay = 2
    begun = time.perf_counter()
    error_of(predict(client), 503, "model_unavailable")
    assert time.perf_counter() - begun < 1
    model.delay = 0
    assert predict(client).status_code == 200


@pytest.mark.parametrize(
    ("status", "refusal"),
    [(500, ""), (503, ""), (404, "Model not found"), (400, "Model x is not ready yet."), (400, "")],
)
def test_a_model_that_cannot_answer_now_is_503(
    client: TestClient, model: StandIn, status: int, refusal: str
) -> None:
    assert predict(client).status_code == 200
    model.status, model.refusal = status, refusal
    error_of(predict(client), 503, "model_unavailable")
    ready(client, 503)
    model.status = 200
    assert predict(client).status_code == 200
    ready(client, 200)


def test_a_model_that_refuses_our_request_is_our_fault(
    client: TestClient, model: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    assert predict(client).status_code == 200
    model.status, model.refusal = 400, "Missing: hour."
    answer = predict(client)
    error_of(answer, 500, "model_mismatch")
    assert "hour" not in answer.text
    assert "Missing: hour." in caplog.text
    assert ready(client, 503)["model_server"] == "mismatch"
    model.status = 200
    assert predict(client).status_code == 200
    assert ready(client, 200)["model_server"] == "ready"


def test_ready_comes_back_by_itself_when_the_same_model_takes_our_requests_again(
    client: TestClient, model: StandIn
) -> None:
    outputs, model.outputs = model.outputs, ("p_severe",)
    error_of(client.post("/predict?reasons=true", json=ACCIDENT), 500, "model_mismatch")
    assert ready(client, 503)["model_server"] == "mismatch"
    model.outputs = outputs
    assert ready(client, 200)["model_server"] == "ready"  # nobody had to predict first


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"null", b"{}", b'{"parameters": 7}'])
def test_nonsense_from_the_model_server_is_no_defect(
    client: TestClient, model: StandIn, answer: bytes
) -> None:
    assert predict(client).status_code == 200
    model.answer = answer
    error_of(predict(client), 500, "model_mismatch")
    model.answer = None
    assert predict(client).status_code == 200


def test_a_new_version_is_named_from_its_first_answer_on(client: TestClient, model: StandIn) -> None:
    assert predict(client, speed_limit=50).json()["model"]["version"] == "1"
    model.version, model.digest, model.threshold = "2", "b" * 64, 0.1
    answer = predict(client, speed_limit=50).json()
    assert (answer["model"]["version"], answer["threshold"], answer["alert"]) == ("2", 0.1, True)


def test_a_model_of_another_stage_does_not_go_unnoticed(client: TestClient, model: StandIn) -> None:
    assert predict(client, collision=1).json()["notes"][1:] == [
        "collision: not used by a model of stage dispatch"
    ]
    model.stage, model.digest = "on_scene", "c" * 64
    first = predict(client, collision=1)
    error_of(first, 500, "model_mismatch")  # features of dispatch were sent: no answer from them
    answer = predict(client, collision=1).json()
    assert answer["model"]["stage"] == "on_scene"
    assert len(answer["notes"]) == 1


def test_accidents_that_wait_go_together_and_each_gets_its_own_answer(
    client: TestClient, model: StandIn
) -> None:
    predict(client)
    model.delay, model.rows = 0.1, []
    limits = [10 + k for k in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda limit: predict(client, speed_limit=limit).json(), limits))
    for limit, answer in zip(limits, answers, strict=True):
        assert answer["probability"] == pytest.approx(probability(limit))
    assert sum(model.rows) == 20
    assert len(model.rows) <= 6


def test_a_hanging_model_server_keeps_nobody_for_more_than_a_second(
    client: TestClient, model: StandIn
) -> None:
    predict(client)
    model.delay = 5

    def ask(_: int) -> tuple[int, float]:
        begun = time.perf_counter()
        return predict(client).status_code, time.perf_counter() - begun

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    model.delay = 0
    assert {status for status, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) < 1.5
    assert predict(client).status_code == 200


def test_ready_comes_back_by_itself_when_another_model_is_deployed(
    client: TestClient, model: StandIn
) -> None:
    predict(client)
    model.status = 400
    error_of(predict(client), 500, "model_mismatch")
    assert ready(client, 503)["model_server"] == "mismatch"
    model.status, model.version, model.digest = 200, "2", "d" * 64
    assert ready(client, 200)["model_server"] == "ready"  # nobody had to predict first


def row(speed_limit: float) -> list[float]:
    return [speed_limit if name == "speed_limit" else float("nan") for name in feature_names("dispatch")]


def test_who_waits_is_counted_and_who_left_is_not_asked_for(model: StandIn) -> None:
    async def scene() -> tuple[list[Any], list[int]]:
        server = ModelServer(model.address, NAME, timeout=5)
        try:
            batcher = Batcher(server, rows_per_call=4, waiting=6, patience=5)
            await batcher.score(row(50), "dispatch", False)
            model.delay, model.rows = 0.2, []
            first = asyncio.create_task(batcher.score(row(50), "dispatch", False))
            await asyncio.sleep(0.05)  # it is on its way: the others wait
            others = [asyncio.create_task(batcher.score(row(60 + k), "dispatch", k == 5)) for k in range(7)]
            await asyncio.sleep(0.05)
            others[0].cancel()
            return await asyncio.gather(first, *others, return_exceptions=True), model.rows
        finally:
            server.stop()

    outcomes, rows = asyncio.run(scene())
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert isinstance(outcomes[7], ApiError)
    assert outcomes[7].code == "busy"
    kept = [outcomes[k] for k in (0, 2, 3, 4, 5, 6)]
    assert all(isinstance(one, Score) for one in kept)
    limits = [50, 61, 62, 63, 64, 65]
    assert [one.probability for one in kept] == pytest.approx([probability(one) for one in limits])
    assert [len(one.contributions) for one in kept] == [0, 0, 0, 0, 0, 3]
    assert sorted(rows) == [1, 1, 1, 3]
