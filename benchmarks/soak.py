"""Ten minutes at half of what the API can do: whether memory grows, and whether anything fails."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import aiohttp
import psutil

from accidents.progress import track
from benchmarks.load import load
from benchmarks.options import Options
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.served_project import Served, served
from benchmarks.serving import accidents_of

TITLE = "Ten minutes at half of capacity"
MOST_GROWTH = 0.05  # of memory, from the end of the second minute to the end of the last
CLIENTS = 16  # connections that share the requests; each request starts when it is due


@dataclass
class Minute:
    """What happened in one minute. Times in milliseconds, memory in MiB."""

    milliseconds: list[float] = field(default_factory=list)
    failed: int = 0
    late: int = 0  # requests that started over 100 ms after they were due
    memory: dict[str, float] = field(default_factory=dict)


def run(options: Options) -> Outcome:
    """Find the capacity, then send half of it, evenly, with reasons every tenth time."""
    minutes = 2 if options.quick else 10
    with served(options.quick) as place:
        bodies = accidents_of(place.bundle)
        headers = {"X-API-Key": place.key}
        capacity = load(f"{place.api}/predict?reasons=false", bodies, 8, 10, headers).per_second
        minutes = [
            asyncio.run(_minute(place, bodies, capacity / 2))
            for _ in track(range(minutes), "minutes of load")
        ]
    return _outcome(minutes, capacity)


async def _minute(place: Served, bodies: Sequence[Any], rate: float) -> Minute:
    minute, due = Minute(), iter(range(int(rate * 60)))
    texts = cycle([json.dumps(body).encode() for body in bodies])
    headers = {"X-API-Key": place.key, "Content-Type": "application/json"}
    started = time.perf_counter()
    async with aiohttp.ClientSession(headers=headers) as session:

        async def client() -> None:
            for number in due:
                when = started + number / rate
                await asyncio.sleep(max(0.0, when - time.perf_counter()))
                minute.late += time.perf_counter() - when > 0.1
                reasons = "false" if number % 10 else "true"
                begun = time.perf_counter()
                url = f"{place.api}/predict?reasons={reasons}"
                try:
                    async with session.post(url, data=next(texts)) as answer:
                        await answer.read()
                        minute.failed += answer.status != 200
                except aiohttp.ClientError:
                    minute.failed += 1
                minute.milliseconds.append((time.perf_counter() - begun) * 1e3)

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    minute.memory = {name: _memory(place, path) for name, path in PROCESSES.items()}
    return minute


PROCESSES = {"API": ".serving/api.json", "model server": ".serving/model-server/server.json"}


def _memory(place: Served, state: str) -> float:
    pid = json.loads((place.folder / state).read_text(encoding="utf-8"))["pid"]
    return float(psutil.Process(pid).memory_info().rss / 2**20)


def _outcome(minutes: Sequence[Minute], capacity: float) -> Outcome:
    sent = sum(len(minute.milliseconds) for minute in minutes)
    failed, late = (sum(getattr(minute, name) for minute in minutes) for name in ("failed", "late"))
    settled, last = minutes[1 if len(minutes) > 2 else 0], minutes[-1]
    growth = {name: last.memory[name] / settled.memory[name] - 1 for name in PROCESSES}
    figures = (
        Figure(what=f"Failed of {sent:,} requests", target="0", figure=str(failed), met=failed == 0),
        *(
            Figure(
                what=f"Memory of the {name}, from minute 2 to the end",
                target=f"at most {MOST_GROWTH:+.0%}",
                figure=f"{value:+.1%}",
                met=value <= MOST_GROWTH,
            )
            for name, value in growth.items()
        ),
    )
    rows = [
        (
            str(number),
            f"{statistics.median(minute.milliseconds):.1f}",
            f"{statistics.quantiles(minute.milliseconds, n=100)[98]:.1f}",
            *(f"{minute.memory[name]:.0f}" for name in PROCESSES),
        )
        for number, minute in enumerate(minutes, 1)
    ]
    about = (
        f"Half of the capacity at 8 clients ({capacity:.0f} requests/s), sent evenly over {CLIENTS} "
        f"connections, every tenth with reasons, by a client on the same two cores. {late:,} requests "
        "started over 0.1 s late."
    )
    head = ("minute", "p50 ms", "p99 ms", *(f"{name}, MiB" for name in PROCESSES))
    return Outcome(about=about, figures=figures, body=table(head, rows))
