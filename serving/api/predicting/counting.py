"""Counts predictions for Prometheus: of a form that is being filled in the last one, once it has settled."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence

from accidents.predictions.log import Prediction
from serving.api.operations.metrics import DEPARTMENTS, PREDICTIONS, PROBABILITIES

QUIET = 60.0  # seconds without another prediction of its session until the last one counts
_OPEN = 1_000  # sessions that may be open at a time; of more, the oldest one counts


class Counting:
    """Sessions that are open, each with its last prediction."""

    def __init__(self, quiet: float = QUIET) -> None:
        self._quiet = quiet
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
        self.settle()

    def settle(self) -> None:
        """Count the last prediction of each session that has been quiet for long enough."""
        until = time.monotonic() - self._quiet
        while self._open and (len(self._open) > _OPEN or next(iter(self._open.values()))[0] <= until):
            _, (_, last) = self._open.popitem(last=False)
            _count(last)


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
