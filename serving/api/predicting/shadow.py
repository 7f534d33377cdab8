"""Copies of answered accidents go to the shadow, many in a call, and its scores into the log.

No caller waits for the shadow, nor for a place in the queue: what finds none is dropped and counted. In
SQLite some scores go into the transaction of a caller's prediction, which is logged also if they cannot be.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from math import nan

from accidents.errors import AccidentsError
from accidents.predictions.prediction_log import Prediction
from accidents.predictions.shadow import ShadowScore
from accidents.vocabulary.bands import band_of
from serving.api.errors import ApiError
from serving.api.operations.metrics import SHADOW_SCORES
from serving.api.predicting.log_writer import LogWriter
from serving.api.predicting.model_server import Scores
from serving.api.predicting.model_servers import ModelServers
from serving.api.predicting.rollout import Rollout

_LOG = logging.getLogger(__name__)
_GATHER = 0.5  # seconds in which copies come together: a call costs the model server more than its rows do
_TOGETHER = 250  # copies in a call; with 16 callers waited no less long, and 8 of them longer in the median
_LIMIT = 2_000  # copies that wait; a batch is half of that


class ShadowQueue:
    """Copies that wait for the shadow.

    Parameters
    ----------
    rollout : knows the shadow, if there is one.
    writer : of the log that its scores go into.
    """

    def __init__(self, rollout: Rollout, writer: LogWriter) -> None:
        self._rollout, self._writer = rollout, writer
        self._waiting: deque[Prediction] = deque()
        self._worker: asyncio.Task[None] | None = None

    def put(self, predictions: Sequence[Prediction]) -> None:
        """Take copies of what was answered, as far as there is room."""
        room = _LIMIT - len(self._waiting)
        self._waiting.extend(predictions[:room])
        if len(predictions) > room:
            SHADOW_SCORES.labels("dropped").inc(len(predictions) - room)
        if self._worker is None and self._waiting:
            self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Let go of what waits."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait({self._worker})

    async def _work(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_GATHER if len(self._waiting) < _TOGETHER else 0)
                await self._score(self._take())
        finally:
            self._worker = None

    def _take(self) -> list[Prediction]:
        """Return the oldest, all of one stage."""
        stage = self._waiting[0].stage
        taken: list[Prediction] = []
        while self._waiting and len(taken) < _TOGETHER and self._waiting[0].stage == stage:
            taken.append(self._waiting.popleft())
        return taken

    async def _score(self, taken: Sequence[Prediction]) -> None:
        shadow = self._rollout.shadow
        if shadow is None:  # it has ended meanwhile
            return
        outcome = "logged"
        try:
            await self._writer.add_scores(_rows(taken, await _ask(shadow.server, taken)))
        except (ApiError, AccidentsError) as error:
            outcome = "failed"  # a call, so also what of it is in the log
            _LOG.warning("Of %d copies the shadow's scores are not all in the log: %s", len(taken), error)
        SHADOW_SCORES.labels(outcome).inc(len(taken))


async def _ask(server: ModelServers, taken: Sequence[Prediction]) -> Scores:
    rows = [[nan if value is None else value for value in copy.features.values()] for copy in taken]
    return await server.score(taken[0].stage, rows, contributions=False)


def _rows(taken: Sequence[Prediction], scores: Scores) -> list[ShadowScore]:
    facts, now = scores.facts, datetime.now(UTC)
    return [
        ShadowScore(
            request_id=prediction.request_id,
            created=now,
            model_version=facts.version,
            model_digest=facts.digest,
            probability=probability,
            band=band_of(probability, facts.bands),
            alert=probability >= facts.threshold,
        )
        for prediction, probability in zip(taken, scores.probabilities, strict=True)
    ]
