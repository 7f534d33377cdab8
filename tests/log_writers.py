"""A started log writer, and what is in its log, for tests of predictions and of a shadow's scores."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import closing

from accidents.predictions.prediction_log import PredictionLog
from serving.api.predicting.log_writer import LogWriter

PATIENT = {"patience": 60.0}  # where time is not what is tested: a busy machine may stall a disk for a second


@contextlib.asynccontextmanager
async def started(log: PredictionLog, **settings: object) -> AsyncIterator[LogWriter]:
    writer = LogWriter(log, **settings)
    await writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


def ids(address: str) -> list[str]:
    """What a newcomer to the database finds in it."""
    with closing(PredictionLog(address)) as log:
        return [row["request_id"] for row in log.read()]
