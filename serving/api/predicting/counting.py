"""Counts predictions for Prometheus: of a form that is being filled in the last one, once it has settled."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from accidents.predictions.prediction_log import Prediction, PredictionLogError
from serving.api.operations.metrics import DEPARTMENTS, PREDICTIONS, PROBABILITIES

_LOG = logging.getLogger(__name__)
QUIET = 60.0  # seconds without another prediction of its session until the last one counts
_OPEN = 1_000  # sessions that may be open at a time; of more, the oldest one counts


class Counting:
    """Sessions that are open, each with its last prediction here.

    Parameters
    ----------
    newest : where other APIs may have answered later in a session: which of these requests are the last of
        theirs, as the log has it. None: there are no others.
    """

    def __init__(
        self, quiet: float = QUIET, newest: Callable[[Sequence[str]], set[str]] | None = None
    ) -> None:
        self._quiet, self._newest = quiet, newest
        self._open: OrderedDict[tuple[str | None, str], tuple[float, Prediction]] = OrderedDict()

    def add(self, predictions: Sequence[Prediction]) -> None:
        """Count predictions, or what they replace in their session."""
        for prediction in predictions:
            if prediction.session is None:
                _count(prediction)
            else:
                key = (prediction.key_name, prediction.session)
                self._open[key] = (time.monotonic(), prediction)
                self._open.move_to_end(key)
        if self._newest is None:
            self.settle()

    def settle(self) -> None:
        """Count the last prediction of each session that has been quiet for long enough."""
        for _, last in self._due():
            _count(last)

    async def settle_among_others(self) -> None:
        """Count, of these, those that no other API has answered later."""
        if self._newest is None:
            self.settle()
            return
        due = self._due()
        if not due:
            return
        try:
            newest = await asyncio.to_thread(self._newest, [last.request_id for _, last in due])
        except PredictionLogError as error:
            _LOG.warning("Sessions are counted later: %s", error)
            for begun, last in reversed(due):  # the oldest goes first again
                key = (last.key_name, str(last.session))
                if key not in self._open:  # else it was answered again meanwhile
                    self._open[key] = (begun, last)
                    self._open.move_to_end(key, last=False)
            return
        for _, last in due:
            if last.request_id in newest:
                _count(last)

    def _due(self) -> list[tuple[float, Prediction]]:
        until = time.monotonic() - self._quiet
        due = []
        while self._open and (len(self._open) > _OPEN or next(iter(self._open.values()))[0] <= until):
            due.append(self._open.popitem(last=False)[1])
        return due


def _count(prediction: Prediction) -> None:
    alert = "yes" if prediction.alert else "no"
    PREDICTIONS.labels(
        prediction.model_name,
        prediction.model_version,
        prediction.stage,
        prediction.band,
        alert,
        prediction.role,
    ).inc()
    PROBABILITIES.observe(prediction.probability)
    DEPARTMENTS.labels(prediction.accident.get("department", "unknown")).inc()
