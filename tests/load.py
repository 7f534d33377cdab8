"""Callers that ask a server without pause, while a test changes what serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

Ask = Callable[[httpx.Client, int, int], Any]


class Load:
    """What they were answered, and what failed.

    Parameters
    ----------
    ask : asks once, given a client, the caller's number and that of the request; returns the answer.
        Raises httpx.HTTPError or AssertionError where that is not what it should be.
    """

    def __init__(self, address: str, ask: Ask, callers: int) -> None:
        self.answers: list[Any] = []
        self.failed: list[str] = []
        self._address, self._ask, self._stop = address, ask, threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(caller,)) for caller in range(callers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, caller: int) -> None:
        number = 0
        with httpx.Client(base_url=self._address, trust_env=False, timeout=30) as client:
            while not self._stop.is_set():
                number += 1
                try:
                    self.answers.append(self._ask(client, caller, number))
                except (httpx.HTTPError, AssertionError) as error:
                    self.failed.append(repr(error))

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds, after at least 80 answers from now on."""
        begun, deadline = len(self.answers), time.monotonic() + 120
        while time.monotonic() < deadline:
            if len(self.answers) - begun > 80 and condition():
                return
            time.sleep(0.1)
        raise AssertionError(f"the last answers: {self.answers[-10:]}; failed: {self.failed[:3]}")
