"""Who may ask, how much and how often; and what no answer may lack or tell."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Mount, Route

from serving.api.app import create_app
from serving.api.operations.keys import Keys
from serving.api.predicting.predict import Predictor
from tests.serving.api_client import ACCIDENT, api, error_of, settings_of
from tests.serving.v2_stand_in import StandIn, stand_in

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with stand_in() as model:
        yield model


@pytest.fixture
def key(tmp_path: Path) -> str:
    return Keys(tmp_path / "keys.json").new("control-room")


def test_a_key_lets_in_and_is_named_in_the_log(model: StandIn, tmp_path: Path, key: str) -> None:
    with api(tmp_path, model.address) as client:
        error_of(client.post("/predict", json=ACCIDENT), 401, "key_missing")
        for wrong in ({"X-API-Key": key[:-1]}, {"Authorization": f"Bearer {key}x"}, {b"X-API-Key": b"\xff"}):
            error_of(client.post("/predict", json=ACCIDENT, headers=wrong), 401, "key_wrong")
        for name, value in (("X-API-Key", key), ("Authorization", f"Bearer {key}"), ("x-api-key", key)):
            assert client.post("/predict", json=ACCIDENT, headers={name: value}).status_code == 200
        Keys(tmp_path / "keys.json").revoke("control-room")
        error_of(client.post("/predict", json=ACCIDENT, headers={"X-API-Key": key}), 401, "key_wrong")


def test_what_needs_no_key_and_what_does(model: StandIn, tmp_path: Path, key: str) -> None:
    with api(tmp_path, model.address, metrics="key", docs="closed") as client:
        for path in ("/", "/words", "/health/live", "/health/ready", "/static/style.css"):
            assert client.get(path).status_code == 200, path
        for path in ("/metrics", "/predict", "/nothing", "/health", "/words/x"):
            error_of(client.get(path), 401, "key_missing")
        for path in ("/docs", "/openapi.json", "/docs/static/swagger-ui.css"):
            error_of(client.get(path, headers={"X-API-Key": key}), 404, "not_found")
        assert "accidents_ready 1.0" in client.get("/metrics", headers={"X-API-Key": key}).text
        error_of(client.get("/nothing", headers={"X-API-Key": key}), 404, "not_found")


OPEN_ROUTES = {"/", "/words", "/health/live", "/health/ready", "/static/*", "/static/departments.json"}


def walk(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Path and method of every route, also of those in routers that the app includes."""
    for one in routes:
        if isinstance(one, Route):
            yield from ((one.path, method) for method in one.methods or ())
        elif isinstance(one, Mount):
            yield f"{one.path}/*", "GET"
        else:
            yield from walk(one.original_router.routes)  # type: ignore[attr-defined]  # FastAPI's own kind


def test_every_route_but_these_asks_for_a_key(model: StandIn, tmp_path: Path, key: str) -> None:
    hook_keys = tmp_path / "hook-keys.json"
    Keys(hook_keys).new("alertmanager")
    closed = {"docs": "key", "metrics": "key", "hook_command": ("true",), "hook_keys_file": hook_keys}
    asked = list(walk(create_app(settings_of(tmp_path, model.address, **closed)).routes))
    assert len(asked) >= 10
    with api(tmp_path, model.address, **closed) as client:
        for path, method in asked:
            status = client.request(method, path).status_code
            assert (status == 401) == (path not in OPEN_ROUTES), (path, method, status)


def test_a_key_opens_what_its_scopes_say_and_the_answer_names_the_one_that_is_missing(
    model: StandIn, tmp_path: Path
) -> None:
    keys = Keys(tmp_path / "keys.json")
    made = {scope: {"X-API-Key": keys.new(scope, [scope])} for scope in ("predict", "label")}
    bodies = {
        "/predict": ("predict", ACCIDENT),
        "/predict/batch": ("predict", {"accidents": [ACCIDENT]}),
        "/labels": ("label", {"labels": [{"accident_id": "A", "severe": True}]}),
    }
    with api(tmp_path, model.address, metrics="key", docs="key") as client:
        for path, (needed, body) in bodies.items():
            for scope, headers in made.items():
                answer = client.post(path, json=body, headers=headers)
                if scope == needed:
                    assert answer.status_code == 200, (path, scope)
                    continue
                error = error_of(answer, 403, "scope_missing")
                assert f"lacks the scope '{needed}'" in error["message"]
        for path in ("/metrics", "/docs"):
            assert client.get(path, headers=made["label"]).status_code == 200


def test_no_key_steers_what_another_caller_predicted_or_said(model: StandIn, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    lyon, lille = ({"X-API-Key": keys.new(name, ["predict", "label"])} for name in ("lyon", "lille"))
    ministry = {"X-API-Key": keys.new("ministry", ["label", "correct"])}
    with api(tmp_path, model.address) as client:

        def label(headers: dict[str, str], severe: bool, **what: str) -> str:
            answer = client.post("/labels", json={"labels": [what | {"severe": severe}]}, headers=headers)
            status: str = answer.json()["results"][0]["status"]
            return status

        mine = ACCIDENT | {"accident_id": "2026-1"}
        request_id = client.post("/predict", json=mine, headers=lyon).json()["request_id"]
        assert client.post("/predict", json=mine, headers=lille).status_code == 200
        assert label(lyon, True, accident_id="2026-1") == "recorded"
        assert label(lille, False, accident_id="2026-1") == "recorded", "its own accident of that id"
        assert label(lille, False, request_id=request_id) == "refused"
        assert label(lyon, True, accident_id="2026-1") == "unchanged"
        assert label(ministry, False, request_id=request_id) == "corrected"
        assert label(lyon, True, request_id=request_id) == "refused"


def test_outcomes_have_a_rate_of_their_own(model: StandIn, tmp_path: Path, key: str) -> None:
    mine = {"X-API-Key": Keys(tmp_path / "keys.json").new("statistics", ["label"])}
    labels = {"labels": [{"accident_id": f"A{k}", "severe": True} for k in range(600)]}
    with api(tmp_path, model.address, labels_per_minute=1_000) as client:
        assert client.post("/labels", json=labels, headers=mine).status_code == 200
        error_of(client.post("/labels", json=labels, headers=mine), 429, "too_many_requests")
        assert client.post("/predict", json=ACCIDENT, headers={"X-API-Key": key}).status_code == 200


def test_the_page_gives_no_other_files(model: StandIn, tmp_path: Path) -> None:
    with api(tmp_path, model.address) as client:
        for path in ("/static/../place.py", "/static/%2e%2e/place.py", "/static//etc/passwd", "/static/"):
            error_of(client.get(path), 404, "not_found")


def test_without_a_key_only_this_machines_names_are_answered(model: StandIn, tmp_path: Path) -> None:
    with api(tmp_path, model.address) as client:
        for host in ("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"):
            assert client.post("/predict", json=ACCIDENT, headers={"Host": host}).status_code == 200
        for host in ("evil.example", "localhost.evil.example", "10.0.0.1", ""):
            error_of(client.post("/predict", json=ACCIDENT, headers={"Host": host}), 403, "host_refused")
        for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):  # a proxy on this machine
            answer = client.post("/predict", json=ACCIDENT, headers={"Host": "127.0.0.1", header: "9.9.9.9"})
            error_of(answer, 403, "host_refused")


def test_another_host_than_loopback_always_needs_a_key(model: StandIn, tmp_path: Path) -> None:
    with api(tmp_path, model.address, host="0.0.0.0") as client:
        error_of(client.post("/predict", json=ACCIDENT), 401, "key_missing")


def test_wrong_keys_neither_get_in_nor_keep_the_right_one_out(
    model: StandIn, tmp_path: Path, key: str
) -> None:
    with api(tmp_path, model.address, wrong_keys_per_minute=5) as client:
        answers = [client.post("/predict", headers={"X-API-Key": f"guess{k}"}) for k in range(30)]
        assert {answer.status_code for answer in answers[:5]} == {401}
        assert {answer.status_code for answer in answers[5:]} == {429}
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 120
        assert client.post("/predict", json=ACCIDENT, headers={"X-API-Key": key}).status_code == 200


def test_each_key_has_its_rate_and_a_batch_counts_its_accidents(
    model: StandIn, tmp_path: Path, key: str
) -> None:
    other = Keys(tmp_path / "keys.json").new("other")
    with api(tmp_path, model.address, accidents_per_minute=10) as client:
        mine = {"X-API-Key": key}
        batch = {"accidents": [ACCIDENT] * 9}
        assert client.post("/predict/batch?reasons=false", json=batch, headers=mine).status_code == 200
        assert client.post("/predict", json=ACCIDENT, headers=mine).status_code == 200
        answer = client.post("/predict", json=ACCIDENT, headers=mine)
        error_of(answer, 429, "too_many_requests")
        assert int(answer.headers["retry-after"]) >= 1
        assert client.post("/predict", json=ACCIDENT, headers={"X-API-Key": other}).status_code == 200


def test_what_is_more_than_a_minute_may_have_is_not_to_be_tried_again(model: StandIn, tmp_path: Path) -> None:
    with api(tmp_path, model.address, accidents_per_minute=10) as client:
        answer = client.post("/predict/batch", json={"accidents": [ACCIDENT] * 11})
        assert "counts as 11 accidents" in error_of(answer, 422, "invalid")["message"]
        answer = client.post("/predict", json=ACCIDENT | {"filler": "x" * 11_000})
        assert "counts as 11 accidents" in error_of(answer, 422, "invalid")["message"]


def test_a_large_body_is_refused_announced_or_not(model: StandIn, tmp_path: Path) -> None:
    with api(tmp_path, model.address, body_limit=2_000) as client:
        error_of(client.post("/predict", content=b"x" * 2_001, headers=JSON), 413, "too_large")
        chunks = (b" " * 500 for _ in range(100))
        error_of(client.post("/predict", content=chunks, headers=JSON), 413, "too_large")
        fits = (part for part in (b'{"time": "2024-06-03T18:30", ', b'"place": {"commune": "59350"}}'))
        assert client.post("/predict", content=fits, headers=JSON).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_only_json_is_read(model: StandIn, tmp_path: Path, kind: str) -> None:
    with api(tmp_path, model.address) as client:
        answer = client.post("/predict", content=b"{}", headers={"Content-Type": kind})
        error_of(answer, 415, "content_type")
        answer = client.post(
            "/predict", content=b"{}", headers={"Content-Type": "Application/JSON; charset=utf-8"}
        )
        error_of(answer, 422, "invalid")


def test_every_answer_has_the_headers(model: StandIn, tmp_path: Path) -> None:
    with api(tmp_path, model.address, wrong_keys_per_minute=1) as client:
        answers = [
            client.get("/"), client.get("/nothing"), client.put("/predict"), client.get("/docs"),
            client.post("/predict", json=ACCIDENT), client.post("/predict", json={}),
            client.get("/health/live", headers={"Host": "evil.example"}),
        ]  # fmt: skip
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "'unsafe-eval'" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] in ("no-store", "no-cache")
        assert len(answer.headers["x-request-id"]) == 32
        assert "server" not in answer.headers
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    assert answers[2].headers["allow"] == "OPTIONS, POST"


def test_a_defect_tells_the_log_and_not_the_caller(
    model: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("secret path /etc/x")

    monkeypatch.setattr(Predictor, "predict", fail)
    with api(tmp_path, model.address) as client, caplog.at_level(logging.ERROR):
        answer = client.post("/predict", json=ACCIDENT)
    error_of(answer, 500, "defect")
    assert "secret" not in answer.text
    assert "secret path" in caplog.text
    assert answer.headers["x-request-id"] in caplog.text


def test_damaged_keys_let_nobody_in(model: StandIn, tmp_path: Path, key: str) -> None:
    with api(tmp_path, model.address) as client:
        (tmp_path / "keys.json").write_text("{")
        answer = client.post("/predict", json=ACCIDENT, headers={"X-API-Key": key})
        error = error_of(answer, 503, "keys_unavailable")
        assert str(tmp_path) not in error["message"]
