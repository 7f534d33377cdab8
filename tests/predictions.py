"""Predictions for the tests of the log and of what writes it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, create_engine

from accidents.features import build_one
from accidents.predictions.prediction_log import Prediction

START = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
ACCIDENT = {"hour": 18, "latitude": 48.85, "longitude": 2.35, "light": 5, "vehicles": [{"category": 7}]}
FEATURES = build_one(ACCIDENT)


def prediction(minute: float = 0, **fields: Any) -> Prediction:
    """A prediction made so many minutes after START, with these fields instead of the usual ones."""
    usual: dict[str, Any] = {
        "request_id": uuid.uuid4().hex,
        "accident_id": None,
        "created": START + timedelta(minutes=minute),
        "stage": "dispatch",
        "model_name": "accident-severity-dispatch",
        "model_version": "3",
        "model_digest": "5f" * 32,
        "probability": 0.25,
        "band": "moderate",
        "alert": False,
        "accident": ACCIDENT,
        "features": FEATURES,
        "key_name": "control-room",
    }
    return Prediction(**usual | fields)


@contextmanager
def connected(address: str) -> Iterator[Connection]:
    """A connection of the test's own to the database of a log, beside it."""
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()
