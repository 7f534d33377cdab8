"""Several model servers that hold the same model, as one: each is asked one call at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from serving.api.errors import ApiError
from serving.api.predicting.model_server import ModelFacts, ModelServer, Scores, unavailable

_REST = 1.0  # seconds in which one that did not answer is asked last


class ModelServers:
    """Asks the one that has least to do; one that does not answer is made up for by another.

    While a version is switched they may differ for a moment: what an answer says of its model is its own.

    Attributes
    ----------
    width : calls that may be on their way at a time; a server computes on one core.
    """

    def __init__(self, servers: Sequence[ModelServer]) -> None:
        self._servers = list(servers)
        self._busy = dict.fromkeys(self._servers, 0)
        self._resting = dict.fromkeys(self._servers, 0.0)
        self._turn = 0
        self.width = len(self._servers)

    @property
    def mismatch(self) -> str | None:
        """Why a server refused a request of ours, until one to it succeeds."""
        return next((server.mismatch for server in self._servers if server.mismatch), None)

    def stop(self) -> None:
        """Close the connections."""
        for server in self._servers:
            server.stop()

    async def facts(self) -> ModelFacts:
        """Return the model that is served, as far as known. Raises ApiError if no server answers."""
        facts: ModelFacts = await self._first("facts")
        return facts

    async def metadata(self) -> Mapping[str, Any] | None:
        """Return what a server says of the model, unchecked; None if none answers, or not for this model."""
        for server in self._in_order():
            if (metadata := await server.metadata()) is not None:
                return metadata
        return None

    async def check(self) -> ModelFacts:
        """Return the model as it is now. Raises ApiError unless a server has it, and one that we can ask."""
        outcomes = await asyncio.gather(*(server.check() for server in self._servers), return_exceptions=True)
        for server, outcome in zip(self._servers, outcomes, strict=True):
            if isinstance(outcome, ApiError) and outcome.code == "model_unavailable":
                self._rest(server)
        good = [outcome for outcome in outcomes if isinstance(outcome, ModelFacts)]
        if good:
            return good[0]
        raise next(outcome for outcome in outcomes if isinstance(outcome, BaseException))

    async def score(self, stage: str, rows: Sequence[Sequence[float]], contributions: bool) -> Scores:
        """Ask for `rows` as `ModelServer.score` does. Raises ApiError, model_unavailable if none answers."""
        self._turn = (self._turn + 1) % self.width
        scores: Scores = await self._first("score", stage, rows, contributions)
        return scores

    async def _first(self, method: str, *arguments: Any) -> Any:
        """Return the answer of the first that gives one."""
        missed = unavailable()
        for server in self._in_order():
            self._busy[server] += 1
            try:
                return await getattr(server, method)(*arguments)
            except ApiError as error:
                if error.code != "model_unavailable":
                    raise
                missed = error
                self._rest(server)
            finally:
                self._busy[server] -= 1
        raise missed

    def _in_order(self) -> list[ModelServer]:
        """Return the servers as they are to be tried; of equal ones each begins in turn."""
        if self.width == 1:
            return self._servers
        now = time.monotonic()
        turned = self._servers[self._turn :] + self._servers[: self._turn]
        return sorted(turned, key=lambda server: (self._resting[server] > now, self._busy[server]))

    def _rest(self, server: ModelServer) -> None:
        self._resting[server] = time.monotonic() + _REST
