"""Keeps the event loop free for others while one request has much to compute."""

from __future__ import annotations

import asyncio
import time

_TURN = 0.005  # seconds that one request may compute at a time


class Turns:
    """Awaited between the pieces of a long computation, lets others have their turn when it is time."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    async def next(self) -> None:
        """Return at once, or after the others."""
        if time.perf_counter() - self._begun >= _TURN:
            await asyncio.sleep(0)
            self._begun = time.perf_counter()
