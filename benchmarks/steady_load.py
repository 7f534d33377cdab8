"""Clients that go on asking an API while something happens to it: what they met, and who answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

TRIES = 8  # of a request whose connection is refused or breaks off, as a proxy or a client would try it again
_BETWEEN_SECONDS = 0.25
_TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass
class Met:
    """What the clients met.

    Attributes
    ----------
    answered : version that answered, by request id.
    retried : connections that were refused or broke off before an answer, and whose request was sent again.
    failed : why requests stayed without a good answer, and how many.
    milliseconds : of the answered ones, each with its retries.
    """

    answered: dict[str, str] = field(default_factory=dict)
    retried: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)


@contextmanager
def steady_load(
    url: str, key: str, accident: Mapping[str, Any], clients: int, pause: float = 0
) -> Iterator[Met]:
    """Keep the clients asking until the block ends, each so many seconds after the answer to its last."""
    met, stop = Met(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_ask(url, key, accident, clients, pause, met, stop)))
    thread.start()
    try:
        yield met
    finally:
        stop.set()
        thread.join()


async def _ask(
    url: str,
    key: str,
    accident: Mapping[str, Any],
    clients: int,
    pause: float,
    met: Met,
    stop: threading.Event,
) -> None:
    headers = {"X-API-Key": key}
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:

        async def client(number: int) -> None:
            turn = 0
            while not stop.is_set():
                turn += 1
                body = {**accident, "accident_id": f"load-{number}-{turn}-{time.time_ns()}"}
                await _one(session, url, body, met)
                await asyncio.sleep(pause)

        await asyncio.gather(*(client(number) for number in range(clients)))


async def _one(session: aiohttp.ClientSession, url: str, body: Mapping[str, Any], met: Met) -> None:
    started = time.perf_counter()
    for _ in range(TRIES):
        try:
            async with session.post(url, json=body) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            met.retried += 1
            why = type(error).__name__
            await asyncio.sleep(_BETWEEN_SECONDS)
            continue
        except (TimeoutError, ValueError) as error:
            why = type(error).__name__
            break
        if response.status == 200:
            met.answered[answer["request_id"]] = answer["model"]["version"]
            met.milliseconds.append((time.perf_counter() - started) * 1e3)
            return
        why = f"{response.status} {answer.get('error', answer)}"
        break
    met.failed[why] += 1
