"""Rates that APIs share: what an API has of a slice is spent once."""

from __future__ import annotations

import asyncio
import threading

from accidents.predictions.rate_counts import Slice
from serving.api.errors import ApiError
from serving.api.http.shared_rates import SharedRates


class Counts:
    """A caller's minute; `go` lets it answer."""

    def __init__(self, left: int) -> None:
        self.left, self.go = left, threading.Event()

    def take(self, name: str, least: int, wanted: int, most: int) -> Slice:
        assert self.go.wait(5)
        amount = min(wanted, self.left) if self.left >= least else 0
        self.left -= amount
        return Slice(amount, 60)


def test_who_comes_while_a_slice_is_taken_does_not_spend_it_too() -> None:
    async def run() -> int:
        counts = Counts(left=11)
        rates = SharedRates(counts, accidents_per_minute=1_000, wrong_keys_per_minute=20)
        spent = 0

        async def spend(cost: int) -> None:
            nonlocal spent
            try:
                await rates.charge("a", cost)
            except ApiError:
                return
            spent += cost

        counts.go.set()
        await spend(1)  # of a slice of ten; one is left in the database
        counts.go.clear()
        large = asyncio.create_task(spend(10))  # has nine and asks for one
        await asyncio.sleep(0.05)
        small = asyncio.create_task(spend(9))
        await asyncio.sleep(0.05)
        counts.go.set()
        await asyncio.gather(large, small)
        return spent

    assert asyncio.run(run()) <= 11
