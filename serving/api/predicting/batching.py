"""Accidents that wait for the model server at the same time go to it in one call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from accidents.rollout.traffic_split import CHAMPION, Role
from serving.api.errors import ApiError
from serving.api.operations.metrics import MODEL_ROWS, WAITING
from serving.api.predicting.model_server import ModelFacts, ModelServer, Scores, unavailable
from serving.api.predicting.model_servers import ModelServers


@dataclass(frozen=True)
class Score:
    """The model's answer for one accident."""

    facts: ModelFacts
    probability: float
    columns: Sequence[str] = ()
    contributions: Sequence[float] = ()
    questions: Sequence[str] = ()
    changes: Sequence[float] = ()


@dataclass(frozen=True)
class _Waiting:
    row: Sequence[float]
    kind: tuple[str, bool]  # stage, contributions: only the same go together
    answer: asyncio.Future[Score]


class Batcher:
    """While a call is on its way, what comes in is collected; a single accident is asked for at once.

    Parameters
    ----------
    server : asked with `width` calls at a time, one for each server that computes.
    rows_per_call : accidents in one call, at most.
    waiting : accidents that may wait; more are refused with ApiError ("busy").
    patience : seconds an accident may take; then ApiError ("model_unavailable").
    role : of the version that scores.
    """

    def __init__(
        self,
        server: ModelServer | ModelServers,
        rows_per_call: int,
        waiting: int,
        patience: float,
        role: Role = CHAMPION,
    ) -> None:
        self._server, self._rows_per_call, self._limit = server, rows_per_call, waiting
        self._patience = patience
        self._queue: deque[_Waiting] = deque()
        self._waiting = WAITING.labels(role)
        self._workers: set[asyncio.Task[None]] = set()

    async def score(
        self, row: Sequence[float], stage: str, contributions: bool, patient: bool = False
    ) -> Score:
        """Return the model's answer for the features of one accident. Raises ApiError.

        A `patient` one waits as long as the model server answers others.
        """
        if len(self._queue) >= self._limit:
            raise ApiError("busy", "Too many accidents are waiting for the model. Try again.")
        answer: asyncio.Future[Score] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(row, (stage, contributions), answer))
        self._waiting.set(len(self._queue))
        if len(self._workers) < self._server.width:
            self._workers.add(asyncio.create_task(self._work()))
        try:
            async with asyncio.timeout(
                None if patient else self._patience
            ):  # waiting for others' calls included
                return await answer
        except TimeoutError:
            raise unavailable() from None

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._call(self._take())
        finally:  # at once: a callback would come after a request that believes this one still looks
            self._workers -= {asyncio.current_task()}

    def _take(self) -> list[_Waiting]:
        """Return the oldest that waits and those of its kind, in order; who went away is left out."""
        kind = self._queue[0].kind
        taken: list[_Waiting] = []
        kept: deque[_Waiting] = deque()
        while self._queue and len(taken) < self._rows_per_call:
            request = self._queue.popleft()
            if request.kind == kind:
                taken.append(request)
            else:
                kept.append(request)
        self._queue.extendleft(reversed(kept))
        self._waiting.set(len(self._queue))
        return [request for request in taken if not request.answer.done()]

    async def _call(self, taken: Sequence[_Waiting]) -> None:
        if not taken:
            return
        MODEL_ROWS.observe(len(taken))
        stage, contributions = taken[0].kind
        try:
            scores = await self._server.score(stage, [request.row for request in taken], contributions)
        except Exception as error:  # every one that waits is told, and the next may try again
            gone = isinstance(error, ApiError) and error.code == "model_unavailable"
            waiting = self._queue if gone else ()
            for request in (*taken, *waiting):
                if not request.answer.done():
                    request.answer.set_exception(error)
            return
        for index, request in enumerate(taken):
            if not request.answer.done():
                request.answer.set_result(_score(scores, index))


def _score(scores: Scores, index: int) -> Score:
    contributions = scores.contributions[index] if scores.contributions else ()
    changes = scores.changes[index] if scores.changes else ()
    return Score(
        scores.facts, scores.probabilities[index], scores.columns, contributions, scores.questions, changes
    )
