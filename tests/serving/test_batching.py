"""Accidents that wait for the model are asked for, whatever comes at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from serving.api.predicting.batching import Batcher
from serving.api.predicting.model_server import ModelFacts, Scores

FACTS = ModelFacts("m", "1", "dispatch", 0.5, {}, synthetic=True, digest="d")


class Server:
    """Answers when it is told to."""

    width = 1

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[None]] = []

    async def score(self, stage: str, rows: Sequence[Sequence[float]], contributions: bool) -> Scores:
        self.calls.append(asyncio.get_running_loop().create_future())
        await self.calls[-1]
        return Scores(FACTS, [0.5] * len(rows))


def test_what_comes_as_the_last_call_ends_is_asked_for() -> None:
    async def run() -> None:
        server = Server()
        batcher = Batcher(server, rows_per_call=8, waiting=8, patience=1)
        first = asyncio.create_task(batcher.score([0.0], "dispatch", contributions=False))
        await asyncio.sleep(0.01)
        server.calls[0].set_result(None)  # in the same round of the loop as the request that is next
        second = asyncio.create_task(batcher.score([0.0], "dispatch", contributions=False))
        await asyncio.sleep(0.01)
        assert len(server.calls) == 2
        server.calls[1].set_result(None)
        await asyncio.gather(first, second)

    asyncio.run(run())
