"""Which predictions are old enough to be forgotten, and their removal with what was said of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, or_, select

from accidents.predictions.database_tables import LABELS, PREDICTIONS, SHADOW_SCORES

AT_ONCE = 1_000  # rows a transaction: others want to write meanwhile


@dataclass(frozen=True)
class Ages:
    """How old predictions may become; None: for ever. Those with an outcome are worth more."""

    unlabelled: timedelta | None
    labelled: timedelta | None


def count_old(connection: Connection, ages: Ages, now: datetime) -> int:
    """How many predictions are older than that."""
    old = _old(ages, now)
    return 0 if old is None else connection.execute(old.with_only_columns(func.count())).scalar_one()


def forget(connection: Connection, ages: Ages, now: datetime) -> int:
    """Remove the oldest of them, at most `AT_ONCE`, with their labels; how many it were."""
    old = _old(ages, now)
    if old is None:
        return 0
    oldest = old.order_by(PREDICTIONS.c.created).limit(AT_ONCE)
    rows = connection.execute(oldest).all()
    requests = [row.request_id for row in rows]
    connection.execute(delete(LABELS).where(LABELS.c.request_id.in_(requests)))
    connection.execute(delete(SHADOW_SCORES).where(SHADOW_SCORES.c.request_id.in_(requests)))
    connection.execute(delete(PREDICTIONS).where(PREDICTIONS.c.request_id.in_(requests)))
    accidents = {row.accident_id for row in rows if row.accident_id is not None}
    left = exists().where(_of_accident())
    connection.execute(delete(LABELS).where(LABELS.c.accident_id.in_(accidents), ~left))
    return len(rows)


def _old(ages: Ages, now: datetime) -> Select[Any] | None:
    of_request = LABELS.c.request_id == PREDICTIONS.c.request_id
    labelled = exists().where(or_(of_request, and_(LABELS.c.request_id.is_(None), _of_accident())))
    too_old = []
    if ages.unlabelled is not None:
        too_old.append(and_(PREDICTIONS.c.created < now - ages.unlabelled, ~labelled))
    if ages.labelled is not None:
        too_old.append(and_(PREDICTIONS.c.created < now - ages.labelled, labelled))
    if not too_old:
        return None
    return select(PREDICTIONS.c.request_id, PREDICTIONS.c.accident_id).where(or_(*too_old))


def _of_accident() -> ColumnElement[bool]:
    """Whether a label speaks of a prediction's accident: an id is its caller's own."""
    same_caller = LABELS.c.caller.is_not_distinct_from(PREDICTIONS.c.key_name)
    return and_(LABELS.c.accident_id == PREDICTIONS.c.accident_id, same_caller)
