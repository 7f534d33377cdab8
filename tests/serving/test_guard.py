"""In a pod the model server is asked under any name; pages of elsewhere are refused there, too."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse

from serving.runtime.guard import ANY_HOST, Guard


def asked(hosts: set[str], **headers: str) -> int:
    guard = Guard(PlainTextResponse("well"), hosts, max_body=1000)

    async def ask() -> int:
        transport = httpx.ASGITransport(app=guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            return (await client.get("/v2", headers=headers)).status_code

    return asyncio.run(ask())


@pytest.mark.parametrize("host", ["10.233.0.1", "ABC.eks.example:443", "model.accidents.svc"])
def test_a_clusters_api_server_asks_under_the_name_that_it_was_asked_by(host: str) -> None:
    assert asked({ANY_HOST}, Host=host) == 200
    assert asked({"localhost"}, Host=host) == 403


def test_a_page_of_elsewhere_is_refused_under_any_name() -> None:
    assert asked({ANY_HOST}, Host="model", Origin="http://evil.example") == 403
    assert asked({ANY_HOST}, **{"Sec-Fetch-Site": "cross-site"}) == 403
