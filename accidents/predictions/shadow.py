"""What a shadow gave for accidents that others answered: scores beside the predictions of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from accidents.predictions.database_tables import SHADOW_SCORES, among, check_aware, check_text, unfit


@dataclass(frozen=True, slots=True)
class ShadowScore:
    """P(severe) of one accident by the shadow, and what it would have answered; created: aware."""

    request_id: str
    created: datetime
    model_version: str
    model_digest: str
    probability: float
    band: str
    alert: bool


def shadow_scores(
    connection: Connection, predictions: Sequence[Mapping[Any, Any]], digest: str
) -> dict[str, float]:
    """Return what the shadow of this digest gave for those predictions that it scored, by request_id."""
    requests = [prediction["request_id"] for prediction in predictions]
    query = select(SHADOW_SCORES.c.request_id, SHADOW_SCORES.c.probability).where(
        SHADOW_SCORES.c.model_digest == digest, among(connection, SHADOW_SCORES.c.request_id, requests)
    )
    return {row.request_id: row.probability for row in connection.execute(query)}


def to_shadow_row(score: ShadowScore) -> dict[str, Any]:
    """Return the row of a score, checked. Raises PredictionLogError naming the field that is wrong."""
    if not 0 <= score.probability <= 1:
        raise unfit("probability", score.probability, "0 to 1")
    check_aware("created", score.created)
    for name in ("request_id", "model_version", "model_digest", "band"):
        check_text(name, getattr(score, name))
    return asdict(score)
