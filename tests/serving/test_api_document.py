"""The OpenAPI document is right: what it describes is what the API does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from accidents.__about__ import __version__
from serving.api.app import create_app
from serving.api.errors import STATUS
from serving.api.http.openapi import document_of
from serving.api.schema.accident import Accident
from serving.api.serve import config_of
from tests.serving.api_client import api, settings_of
from tests.serving.v2_stand_in import StandIn, stand_in

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with stand_in() as model:
        yield model


@pytest.fixture(scope="module")
def client(model: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with api(tmp_path_factory.mktemp("api"), model.address) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    content: dict[str, Any] = client.get("/openapi.json").json()
    return content


@pytest.fixture(scope="module")
def address(model: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the API listens, as uvicorn serves it."""
    settings = settings_of(tmp_path_factory.mktemp("served"), model.address, port=0)
    server = uvicorn.Server(config_of(settings, create_app(settings)))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(
    "route",
    ["POST /predict", "POST /predict/batch", "POST /labels",
     "GET /health/live", "GET /health/ready", "GET /words", "GET /metrics"],
)  # fmt: skip
def test_the_api_does_what_its_document_says(address: str, route: str, mode: GenerationMode) -> None:
    method, path = route.split()
    # A batch with a wrong accident is answered: the error stands in that accident's place.
    checks = [check for check in CHECKS if path != "/predict/batch" or check is not negative_data_rejection]
    operation = schemathesis.openapi.from_url(f"{address}/openapi.json")[path][method]

    @settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=checks)

    if mode is GenerationMode.POSITIVE or "/predict" in path or path == "/labels":
        ask()  # routes without input cannot be asked wrongly


def test_it_is_of_the_version_that_is_installed(document: dict[str, Any], client: TestClient) -> None:
    assert document["info"]["version"] == __version__
    assert f'accidents_api_info{{version="{__version__}"}} 1.0' in client.get("/metrics").text


def test_it_is_version_3_0_without_anything_newer(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.0.3"
    for key, value in walk(document["components"]["schemas"]):
        assert key not in {"const", "prefixItems", "$defs"}
        assert not (key == "type" and value == "null")
        assert not (key == "examples" and isinstance(value, list))


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = {value for key, value in walk(document) if key == "$ref"}
    assert (
        references
        == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]} & references
    )
    assert len(references) > 10


def test_every_route_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    assert document["paths"].keys() == {
        "/predict", "/predict/batch", "/labels", "/hooks/alert", "/health/live", "/health/ready", "/words",
        "/metrics",
    }  # fmt: skip
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]
            assert operation["tags"]
    codes = document["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
    assert codes == list(STATUS)


def test_the_example_is_predicted(client: TestClient, document: dict[str, Any]) -> None:
    example = document["components"]["schemas"]["Accident"]["example"]
    Accident.model_validate(example)
    answer = client.post("/predict", json=example)
    assert answer.status_code == 200
    assert answer.json()["notes"] == ["department 59 is taken from the commune"]


def test_every_word_of_the_document_is_understood(client: TestClient, document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    vehicle = {"category": schemas["Vehicle"]["properties"]["category"]["anyOf"][0]["enum"]}
    coded = {
        name: [word for form in schema.get("anyOf", []) for word in form.get("enum", [])]
        for name, schema in schemas["Accident"]["properties"].items()
    }
    assert coded["pedestrian"], "and of what is no code"
    assert len(coded) >= 12
    base = {"time": "2024-06-03T18:30", "place": {"department": "2A"}}
    bodies = [base | {name: word} for name, words in coded.items() for word in words]
    bodies += [base | {"vehicles": [{"category": word}]} for word in vehicle["category"]]
    answer = client.post("/predict/batch?reasons=false", json={"accidents": bodies})
    assert [one for one in answer.json()["predictions"] if "error" in one] == []


def test_the_docs_need_no_other_host(client: TestClient) -> None:
    page = client.get("/docs")
    assert "http" not in page.text
    for path in ("docs/static/swagger-ui.css", "docs/static/swagger-ui-bundle.js", "docs/start.js"):
        assert path in page.text
        assert client.get(f"/{path}").status_code == 200


def test_the_document_can_be_written_without_a_running_api(tmp_path: Path, document: dict[str, Any]) -> None:
    assert document_of(create_app(settings_of(tmp_path, "http://127.0.0.1:1"))) == document
