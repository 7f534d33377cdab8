"""A challenger answers its share, a shadow gets copies; neither costs a caller an answer."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from starlette.testclient import TestClient

from accidents.rollout.traffic_split import is_in_share
from serving.api.predicting import log_writer
from serving.api.predicting import shadow as shadow_module
from serving.api.predicting.rollout import Rollout
from serving.api.schema.answers import PredictionAnswer, ReadyAnswer
from tests.predictions import connected
from tests.serving.api_client import ACCIDENT, api, error_of
from tests.serving.v2_stand_in import NAME, StandIn, stand_in

IDS = [f"CR-{k}" for k in range(60)]
CHALLENGER = {"role": "challenger", "model": f"{NAME}-challenger", "share": 30}
SHADOW = {"role": "shadow", "model": f"{NAME}-shadow"}


@pytest.fixture
def model() -> Iterator[StandIn]:
    with stand_in() as model:
        for role in ("challenger", "shadow"):
            model.beside[f"{NAME}-{role}"] = StandIn(version="2", digest="b" * 64, threshold=0.1)
        yield model


@pytest.fixture
def client(model: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(shadow_module, "_GATHER", 0.05)
    with api(tmp_path, model.address, model_timeout=3, routes_every=0.05) as client:
        yield client


def predict(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/predict?reasons=false", json=ACCIDENT | fields)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    PredictionAnswer.model_validate(content, strict=True)
    return content


def begin(client: TestClient, model: StandIn, *routes: dict[str, Any]) -> None:
    """Put versions on trial, and wait until the API knows."""
    model.routes = json.dumps(routes)
    wait_for(lambda: len(trials(client)) == len(routes))


def trials(client: TestClient) -> list[dict[str, Any]]:
    content = client.get("/health/ready").json()
    ReadyAnswer.model_validate(content, strict=True)
    rollout: list[dict[str, Any]] = content["rollout"]
    return rollout


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about in five seconds")


def rows(folder: Path, query: str) -> list[Any]:
    with connected(f"sqlite:///{folder / 'predictions.db'}") as connection:
        return list(connection.execute(text(query)))


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("accidents_shadow_scores_total", {"outcome": outcome}) or 0.0


def test_a_share_grows_and_keeps_who_was_in_it() -> None:
    ids = [f"2026-{k:06d}" for k in range(10_000)]
    before: set[str] = set()
    for share in (0, 1, 10, 50, 99, 100):
        inside = {one for one in ids if is_in_share(one, share)}
        assert before <= inside
        assert abs(len(inside) / len(ids) - share / 100) < 0.015
        before = inside


def test_a_challenger_answers_its_share_and_log_and_answer_say_so(
    client: TestClient, model: StandIn, tmp_path: Path
) -> None:
    begin(client, model, CHALLENGER)
    assert trials(client) == [{"role": "challenger", "version": "2", "share": 30}]
    answers = [predict(client, accident_id=one)["model"] for one in IDS * 2]
    expected = ["challenger" if is_in_share(one, 30) else "champion" for one in IDS]
    assert [one["role"] for one in answers] == expected * 2, "the same accident, the same version"
    assert {(one["role"], one["version"], one["name"]) for one in answers} == {
        ("champion", "1", NAME), ("challenger", "2", NAME)
    }  # fmt: skip
    logged = rows(
        tmp_path, "SELECT role, model_version, model_name FROM predictions WHERE role != 'champion'"
    )
    assert set(logged) == {("challenger", "2", NAME)}
    assert len(logged) == 2 * expected.count("challenger")


def test_a_version_on_trial_may_have_a_server_of_its_own(client: TestClient, model: StandIn) -> None:
    with stand_in() as other:
        other.beside[CHALLENGER["model"]] = StandIn(version="3", digest="c" * 64)
        begin(client, model, CHALLENGER | {"server": other.address})
        answered = {predict(client, accident_id=one)["model"]["version"] for one in IDS}
    assert answered == {"1", "3"}
    wait_for(lambda: not trials(client))  # its server is gone: the champion answers everything
    assert {predict(client, accident_id=one)["model"]["role"] for one in IDS} == {"champion"}


def test_without_an_id_the_request_decides_and_a_form_stays_with_its_version(
    client: TestClient, model: StandIn
) -> None:
    begin(client, model, CHALLENGER | {"share": 50})
    answers = [predict(client) for _ in range(40)]
    assert {one["model"]["role"] for one in answers} == {"champion", "challenger"}
    assert all(
        (one["model"]["role"] == "challenger") == is_in_share(one["request_id"], 50) for one in answers
    )
    for form in ("a form", "another", "a third"):
        assert len({predict(client, session=form)["model"]["role"] for _ in range(8)}) == 1


def test_a_batch_is_shared_out_too(client: TestClient, model: StandIn) -> None:
    begin(client, model, CHALLENGER)
    accidents = [ACCIDENT | {"accident_id": one} for one in IDS]
    answers = client.post("/predict/batch?reasons=false", json={"accidents": accidents}).json()["predictions"]
    assert [one["model"]["role"] == "challenger" for one in answers] == [is_in_share(one, 30) for one in IDS]


@pytest.mark.parametrize("fault", [{"status": 404}, {"status": 500}, {"delay": 4.5}, {"answer": b"?"}])
def test_a_challenger_that_fails_costs_nobody_an_answer(
    client: TestClient, model: StandIn, fault: dict[str, Any], caplog: Any
) -> None:
    begin(client, model, CHALLENGER | {"share": 99})
    for name, value in fault.items():
        setattr(model.beside[CHALLENGER["model"]], name, value)
    assert {predict(client, accident_id=one)["model"]["role"] for one in IDS[:8]} == {"champion"}
    assert "The challenger did not answer, the champion does" in caplog.text


def test_a_challenger_that_is_asked_too_much_at_once_has_not_failed(
    client: TestClient, model: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Else who floods it has the champion answer what others ask of it, too, which looks like a failure.

    Nor is it told of each accident: a flood would fill the log of the API.
    """
    begin(client, model, CHALLENGER | {"share": 99})
    dropped = list[Rollout]()
    monkeypatch.setattr(Rollout, "drop_challenger", lambda rollout: dropped.append(rollout))
    predictor: Any = client.app.state.parts.predictor  # type: ignore[attr-defined]
    predictor._rollout.challenger.batcher._limit = 0
    first, second, *_ = (one for one in IDS if is_in_share(one, 99))
    assert predict(client, accident_id=first)["model"]["role"] == "champion"
    assert dropped == []
    assert "did not answer" not in caplog.text
    predictor._batcher._limit = 0
    error_of(client.post("/predict", json=ACCIDENT | {"accident_id": second}), 503, "busy")
    assert [name for (name,) in rows(tmp_path, "SELECT accident_id FROM predictions")] == [first]


def test_a_challenger_of_another_stage_is_not_asked(client: TestClient, model: StandIn, caplog: Any) -> None:
    model.beside[CHALLENGER["model"]].stage = "on_scene"
    model.routes = json.dumps([CHALLENGER])
    wait_for(lambda: "is of stage on_scene" in caplog.text)
    assert trials(client) == []


@pytest.mark.parametrize(
    "routes",
    ["{", "[1]", '{"role": 1}', '[{"role": "champion", "model": "x"}]', json.dumps([CHALLENGER, CHALLENGER]),
     *(json.dumps([CHALLENGER | {"share": share}]) for share in (0, 100, -1, "x", None))],
)  # fmt: skip
def test_routes_that_make_no_sense_are_none_and_said_once(
    client: TestClient, model: StandIn, caplog: Any, routes: str
) -> None:
    begin(client, model, CHALLENGER)
    model.routes = routes
    wait_for(lambda: trials(client) == [])
    time.sleep(0.2)
    assert caplog.text.count("make no sense") == 1
    assert predict(client)["model"]["role"] == "champion"


def test_a_shadow_scores_copies_and_is_never_answered(
    client: TestClient, model: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "_GATHER", 0.5)
    begin(client, model, SHADOW)
    answers = [predict(client, accident_id=one) for one in IDS]
    accidents = [ACCIDENT | {"accident_id": f"batch {k}"} for k in range(3)]
    client.post("/predict/batch", json={"accidents": accidents})
    assert {one["model"]["version"] for one in answers} == {"1"}
    query = (
        "SELECT s.model_version, s.alert, p.alert, s.probability - p.probability FROM shadow_scores s "
        "JOIN predictions p ON p.request_id = s.request_id WHERE p.role = 'champion'"
    )
    wait_for(lambda: len(rows(tmp_path, query)) == len(IDS) + 3)
    assert set(rows(tmp_path, query)) == {("2", 1, 0, 0.0)}, "its own threshold, 0.1, on the same rows"
    assert max(model.beside[SHADOW["model"]].rows) > 3, "many copies in a call"


@pytest.mark.parametrize("fault", [{"status": 404}, {"delay": 3.0}, {"answer": b"?"}])
def test_a_dead_or_slow_shadow_costs_the_caller_nothing(
    client: TestClient, model: StandIn, fault: dict[str, Any]
) -> None:
    begin(client, model, SHADOW)
    failed = counted("failed")
    for name, value in fault.items():
        setattr(model.beside[SHADOW["model"]], name, value)
    seconds = []
    for one in IDS[:20]:
        begun = time.perf_counter()
        predict(client, accident_id=one)
        seconds.append(time.perf_counter() - begun)
    assert statistics.median(seconds) < 0.3, "who waits for it waits for model_timeout, 3 s"
    wait_for(lambda: counted("failed") > failed or trials(client) == [])


def test_what_finds_no_place_with_a_slow_shadow_is_dropped_and_counted(
    client: TestClient, model: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "_LIMIT", 10)
    begin(client, model, SHADOW)
    model.beside[SHADOW["model"]].delay = 0.4
    before = counted("dropped"), counted("logged")
    accidents = [ACCIDENT | {"accident_id": one} for one in IDS]
    client.post("/predict/batch?reasons=false", json={"accidents": accidents})
    wait_for(lambda: counted("logged") - before[1] == 10)
    assert counted("dropped") - before[0] == len(IDS) - 10


def test_a_shadows_scores_of_batches_wait_for_predictions_once_a_call(
    client: TestClient, model: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a shadow that is well falls behind a caller of batches, and its copies are dropped."""
    monkeypatch.setattr(log_writer, "_SCORES_WAIT", 0.5)
    begin(client, model, SHADOW)
    before = counted("dropped"), counted("logged")
    for batch in range(2):
        accidents = [ACCIDENT | {"accident_id": f"{batch}-{k}"} for k in range(250)]
        client.post("/predict/batch?reasons=false", json={"accidents": accidents})
    wait_for(lambda: counted("logged") - before[1] == 500)
    assert counted("dropped") == before[0]


@pytest.mark.parametrize("change", ["DROP TABLE shadow_scores",
    "CREATE TRIGGER no BEFORE INSERT ON shadow_scores BEGIN SELECT RAISE(ABORT, 'broken'); END"])  # fmt: skip
def test_a_log_that_takes_no_scores_costs_no_caller_an_answer(
    client: TestClient, model: StandIn, tmp_path: Path, change: str
) -> None:
    begin(client, model, SHADOW)
    predict(client)
    failed = counted("failed")
    with connected(f"sqlite:///{tmp_path / 'predictions.db'}") as connection, connection.begin():
        connection.execute(text(change))
    for one in IDS:
        predict(client, accident_id=one)
    wait_for(lambda: counted("failed") > failed)
    assert len(rows(tmp_path, "SELECT request_id FROM predictions")) == 1 + len(IDS)


def test_both_at_once_and_the_end_of_both(client: TestClient, model: StandIn) -> None:
    begin(client, model, CHALLENGER, SHADOW)
    assert {one["role"] for one in trials(client)} == {"challenger", "shadow"}
    del model.beside[CHALLENGER["model"]]  # the stand-in then answers as the champion
    begin(client, model)
    assert {predict(client, accident_id=one)["model"]["role"] for one in IDS} == {"champion"}
