"""Habits of HTTP clients: HEAD, OPTIONS, packed bodies, charsets, slashes, pages of other origins."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from accidents.errors import SettingsError
from serving.api.operations.keys import Keys
from serving.api.settings import load_settings
from tests.serving.api_client import ACCIDENT, api, error_of
from tests.serving.v2_stand_in import StandIn, stand_in

JSON = {"Content-Type": "application/json"}
GZIP = JSON | {"Content-Encoding": "gzip"}
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}
BODY = json.dumps(ACCIDENT).encode()
PAGE = "https://control.example:8443"


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with stand_in() as model:
        yield model


@pytest.fixture(scope="module")
def client(model: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with api(tmp_path_factory.mktemp("api"), model.address, body_limit=20_000) as client:
        yield client


READABLE = (
    "/", "/words", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json", "/static/style.css"
)  # fmt: skip


@pytest.mark.parametrize("path", READABLE)
def test_head_is_get_without_the_body(client: TestClient, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":
        assert head.headers["content-length"] == got.headers["content-length"]


def test_a_method_that_is_not_there_says_which_are(client: TestClient) -> None:
    for path in READABLE:
        answer = client.post(path)
        error_of(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        answer = client.request(method, "/predict")
        assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")


def test_options_says_which_methods_there_are_without_a_key(model: StandIn, tmp_path: Path) -> None:
    Keys(tmp_path / "keys.json").new("one")
    with api(tmp_path, model.address) as client:
        for path, allowed in (("/predict", "OPTIONS, POST"), ("/words", "GET, HEAD, OPTIONS")):
            answer = client.options(path)
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["allow"] == allowed
            assert "access-control-allow-origin" not in answer.headers
        error_of(client.options("/nothing"), 404, "not_found")


def test_a_slash_at_the_end_of_a_route_does_not_matter(client: TestClient) -> None:
    assert client.post("/predict/", json=ACCIDENT).status_code == 200
    assert client.get("/health/ready/").status_code == 200
    error_of(client.get("/words//"), 404, "not_found")


@pytest.mark.parametrize("name", ["gzip", "GZIP", "x-gzip"])
def test_a_packed_body_is_unpacked(client: TestClient, name: str) -> None:
    for route, content in (("/predict", BODY), ("/predict/batch", b'{"accidents": [' + BODY + b"]}")):
        headers = JSON | {"Content-Encoding": name}
        assert client.post(route, content=gzip.compress(content), headers=headers).status_code == 200
    assert client.post("/predict", content=BODY, headers=JSON | {"Content-Encoding": "identity"}).is_success


def test_a_body_that_grows_too_much_is_refused(client: TestClient) -> None:
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join([*(bomb.compress(bytes(1_000_000)) for _ in range(15)), bomb.flush()])
    assert len(packed) < 20_000
    error_of(client.post("/predict", content=packed, headers=GZIP), 413, "too_large")


@pytest.mark.parametrize(
    "packed",
    [BODY, b"", gzip.compress(BODY)[:-1], gzip.compress(BODY)[:20], gzip.compress(BODY) + b"{}"],
    ids=["not packed", "empty", "its end cut off", "its beginning only", "more behind it"],
)
def test_what_is_not_packed_as_it_says_is_refused(client: TestClient, packed: bytes) -> None:
    error_of(client.post("/predict", content=packed, headers=GZIP), 400, "bad_request")


@pytest.mark.parametrize("name", ["deflate", "br", "zstd", "gzip, gzip", "nonsense"])
def test_other_codings_are_refused_with_those_that_are_taken(client: TestClient, name: str) -> None:
    answer = client.post("/predict", content=BODY, headers=JSON | {"Content-Encoding": name})
    error_of(answer, 415, "content_type")
    assert answer.headers["accept-encoding"] == "gzip, identity"


def test_json_is_utf_8_with_a_mark_or_without(client: TestClient) -> None:
    accident = json.dumps(ACCIDENT | {"accident_id": "Orléans"}, ensure_ascii=False)
    for kind in ("application/json;charset=UTF-8", 'application/json; charset="utf-8"'):
        answer = client.post("/predict", content=accident.encode("utf-8-sig"), headers={"Content-Type": kind})
        assert answer.json()["accident_id"] == "Orléans"
    latin = {"Content-Type": "application/json; charset=iso-8859-1"}
    error_of(client.post("/predict", content=accident.encode("latin-1"), headers=latin), 415, "content_type")


@pytest.mark.parametrize("origin", [PAGE, "null", "http://localhost.evil.example", "http://127.0.0.1:8000"])
def test_without_a_key_pages_of_other_origins_are_refused(client: TestClient, origin: str) -> None:
    headers = {"Host": "localhost:8000", "Origin": origin}
    for route in ("/predict", "/predict/batch", "/labels"):
        error_of(client.post(route, content=BODY, headers=headers | JSON), 403, "origin_refused")
    own = {"Host": "localhost:8000", "Origin": "http://localhost:8000"}
    assert client.post("/predict", content=BODY, headers=own | JSON).status_code == 200


def test_no_origin_is_allowed_by_default(client: TestClient) -> None:
    for answer in (client.options("/predict", headers={"Origin": PAGE} | ASKS), client.get("/words")):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_an_origin_that_is_allowed_may_ask_and_read(model: StandIn, tmp_path: Path) -> None:
    key = Keys(tmp_path / "keys.json").new("page")
    with api(tmp_path, model.address, allowed_origins=[PAGE]) as client:
        asked = client.options("/predict", headers={"Origin": PAGE} | ASKS)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, PAGE)
        assert "x-api-key" in asked.headers["access-control-allow-headers"].lower()
        for headers, status in (({"X-API-Key": key}, 200), ({}, 401)):  # a refusal can be read, too
            answer = client.post("/predict", json=ACCIDENT, headers=headers | {"Origin": PAGE})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, PAGE)
            assert "access-control-allow-credentials" not in answer.headers
        other = {"Origin": "https://evil.example"}
        assert client.options("/predict", headers=other | ASKS).status_code == 400
        assert "access-control-allow-origin" not in client.get("/words", headers=other).headers


def test_an_origin_that_is_allowed_needs_no_key_where_there_is_none(model: StandIn, tmp_path: Path) -> None:
    with api(tmp_path, model.address, allowed_origins=["http://localhost:3000"]) as client:
        answer = client.post("/predict", json=ACCIDENT, headers={"Origin": "http://localhost:3000"})
        assert answer.status_code == 200


@pytest.mark.parametrize("origin", ["*", "null", "https://a.example/", "a.example", "https://*.example"])
def test_an_origin_is_named_whole(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCIDENTS_ALLOWED_ORIGINS", f"http://localhost:3000, {origin}")
    with pytest.raises(SettingsError, match="allowed_origins"):
        load_settings()
