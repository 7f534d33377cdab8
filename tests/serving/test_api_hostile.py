"""Requests made to cost much: the work is bounded, charged, and does not keep others waiting."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from serving.api.app import create_app
from tests.serving.api_client import ACCIDENT, api, error_of, settings_of
from tests.serving.v2_stand_in import StandIn, stand_in

WRONG = "aolr va(cc  nd+a vae)nod"


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with stand_in() as model:
        yield model


def hostile(accidents: int, vehicles: int) -> dict[str, Any]:
    """Nothing but wrong words, all of them different and none near a right one."""
    return {
        "accidents": [
            ACCIDENT | {"vehicles": [{"category": f"{WRONG[:-4]}{n}{k}"} for k in range(vehicles)]}
            for n in range(accidents)
        ]
    }


def test_the_nearest_word_is_looked_for_only_where_it_is_told(
    model: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def near(word: str, *_: object, **__: object) -> list[str]:
        asked.append(word)
        return []

    monkeypatch.setattr(difflib, "get_close_matches", near)
    with api(tmp_path, model.address) as client:
        answer = client.post("/predict/batch", json=hostile(20, 10))
        entries = answer.json()["predictions"]
        assert len(asked) == 20
        assert len(answer.content) < 100_000
        details = [entry["error"]["details"] for entry in entries]
        assert [len(of) for of in details] == [10, 10] + [1] * 18
        assert details[0][0]["message"].endswith("'other vehicle' (99)")
        assert details[-1][0]["message"] == f"'{WRONG[:-4]}190' is not a category; /words lists what is known"
        assert entries[-1]["error"]["message"].endswith("(and 9 more)")


def test_further_fields_are_told_in_brief(model: StandIn, tmp_path: Path) -> None:
    accidents = [ACCIDENT | {f"unknown{k}": 1 for k in range(15)}] * 3
    with api(tmp_path, model.address) as client:
        entries = client.post("/predict/batch", json={"accidents": accidents}).json()["predictions"]
    told = [[detail["message"] for detail in entry["error"]["details"]] for entry in entries]
    assert [len(of) for of in told] == [15, 5, 1]
    assert told[1][0].startswith("unknown field; ")
    assert told[2] == ["unknown field"]


@pytest.mark.parametrize("route", ["/predict", "/predict/batch", "/labels"])
def test_mistakes_beyond_counting_are_not_listed(model: StandIn, tmp_path: Path, route: str) -> None:
    nonsense: dict[str, Any] = {f"k{k}": 0 for k in range(3_000)}
    bodies = {"/predict/batch": {"accidents": [nonsense]}, "/labels": {"labels": [nonsense]}}
    with api(tmp_path, model.address) as client:
        answer = client.post(route, json=bodies.get(route, nonsense))
    if route == "/predict/batch":
        error = answer.json()["predictions"][0]["error"]
    else:
        error = error_of(answer, 422, "invalid")
    assert error["message"] == "body: more than 2,000 mistakes, too many to list: compare it with /docs"


def test_a_body_is_charged_by_its_size_also_if_it_is_wrong(model: StandIn, tmp_path: Path) -> None:
    body = hostile(1, 99) | {"filler": "x" * 110_000}
    with api(tmp_path, model.address, accidents_per_minute=200) as client:
        error_of(client.post("/predict", json=body), 422, "invalid")
        for route in ("/predict", "/predict/batch", "/labels"):
            error_of(client.post(route, json=body), 429, "too_many_requests")
        assert client.post("/predict", json=ACCIDENT).status_code == 200


def test_others_have_their_turn_during_a_hostile_batch(model: StandIn, tmp_path: Path) -> None:
    asyncio.run(_hostile_batch_beside_others(create_app(settings_of(tmp_path, model.address))))


async def _hostile_batch_beside_others(app: FastAPI) -> None:
    longest = 0.0

    async def others() -> None:
        nonlocal longest
        while True:
            begun = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - begun)

    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        assert (await client.get("/health/ready")).status_code == 200
        begun = time.thread_time()
        watch = asyncio.create_task(others())
        answer = await client.post("/predict/batch", json=hostile(150, 100))
        watch.cancel()
        took = time.thread_time() - begun
    assert answer.status_code == 200
    assert longest < took / 6  # seconds of computing: one accident after another, not 50 at once
