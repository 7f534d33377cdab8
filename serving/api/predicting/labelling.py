"""What became of accidents, into the log: one caller after the other, so that predictions get their turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from accidents.predictions.prediction_log import Label, PredictionLog, PredictionLogError
from serving.api.errors import ApiError
from serving.api.operations.metrics import LABELS, LOG_ERRORS
from serving.api.schema.accident import Outcome

_LOG = logging.getLogger(__name__)


class Labeller:
    """Writes outcomes into the log."""

    def __init__(self, log: PredictionLog) -> None:
        self._log = log
        self._one_at_a_time = asyncio.Lock()  # SQLite has one writer: of those that wait, at most one labels

    async def label(self, outcomes: Sequence[Outcome], caller: str | None, corrects: bool) -> list[str]:
        """Return what became of each outcome; `corrects`: what others said, too. Raises ApiError."""
        labels = [
            Label(outcome.severe, outcome.request_id, outcome.accident_id, caller, trusted=corrects)
            for outcome in outcomes
        ]
        try:
            async with self._one_at_a_time:
                statuses = await asyncio.to_thread(self._log.add_labels, labels)
        except PredictionLogError as error:
            LOG_ERRORS.inc()
            _LOG.error("%s", error)
            raise ApiError("log_unavailable", "The outcomes cannot be logged now. Try again.") from None
        for status in statuses:
            LABELS.labels(status).inc()
        return statuses
