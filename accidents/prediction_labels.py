"""What accidents turned out to be: labels are added, never changed, and the newest counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, or_, select, text

from accidents.prediction_tables import LABELS, PREDICTIONS, PredictionLogError, check_text

Group = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Label:
    """How an accident turned out: for one prediction (request_id) or all of an accident's (accident_id)."""

    severe: bool
    request_id: str | None = None
    accident_id: str | None = None
    key_name: str | None = None

    def __post_init__(self) -> None:
        if (self.request_id is None) == (self.accident_id is None):
            raise PredictionLogError("A label names either a request_id or an accident_id: give one of them.")
        for name in ("request_id", "accident_id", "key_name"):
            check_text(name, getattr(self, name))


class NewestLabels:
    """The label that counts of each of these predictions."""

    def __init__(self, connection: Connection, predictions: Sequence[Mapping[Any, Any]]) -> None:
        requests = {prediction["request_id"] for prediction in predictions}
        accidents = {prediction["accident_id"] for prediction in predictions} - {None}
        whole = and_(LABELS.c.request_id.is_(None), LABELS.c.accident_id.in_(accidents))
        query = select(LABELS).where(or_(LABELS.c.request_id.in_(requests), whole)).order_by(LABELS.c.id)
        self._newest = {
            (label.request_id, None) if label.request_id else (None, label.accident_id): label
            for label in connection.execute(query)
        }

    def of(self, prediction: Mapping[Any, Any]) -> dict[str, Any]:
        """`severe` and `labelled`, both None while there is no label."""
        keys: list[Group] = [(prediction["request_id"], None), (None, prediction["accident_id"])]
        found = [self._newest[key] for key in keys if key in self._newest]
        newest = max(found, key=lambda label: label.id, default=None)
        return {"severe": newest and newest.severe, "labelled": newest and newest.created}


@dataclass(slots=True)
class _History:
    """The labels that count now among the predictions of one accident."""

    whole: bool | None = None  # the newest label of the accident
    own: dict[str, bool] = field(default_factory=dict)  # those of single predictions that came after it

    def status(self, request_id: str | None, severe: bool) -> str:
        now = (
            {self.whole, *self.own.values()} if request_id is None else {self.own.get(request_id, self.whole)}
        )
        if now == {severe}:
            return "unchanged"
        return "corrected" if (not severe) in now else "recorded"

    def add(self, request_id: str | None, severe: bool) -> None:
        if request_id is None:
            self.whole = severe
            self.own.clear()
        else:
            self.own[request_id] = severe


def add_labels(connection: Connection, labels: Sequence[Label]) -> list[str]:
    """In a writing transaction; see `PredictionLog.add_labels`."""
    if connection.dialect.name == "postgresql":  # one after the other; SQLite's BEGIN IMMEDIATE does it there
        connection.execute(text("LOCK TABLE labels IN SHARE ROW EXCLUSIVE MODE"))
    requests, accidents = _known(connection, labels)
    histories = _histories(connection, requests, accidents)
    statuses: list[str] = []
    rows: list[dict[str, Any]] = []
    now = datetime.now(UTC)
    for label in labels:
        if label.request_id not in requests and label.accident_id not in accidents:
            statuses.append("unknown")
            continue
        accident_id = label.accident_id if label.request_id is None else requests[label.request_id]
        history = histories.setdefault(_group(label.request_id, accident_id), _History())
        statuses.append(history.status(label.request_id, label.severe))
        history.add(label.request_id, label.severe)
        if statuses[-1] != "unchanged":
            rows.append(asdict(label) | {"accident_id": accident_id, "created": now})
    if rows:
        connection.execute(LABELS.insert(), rows)
    return statuses


def _known(connection: Connection, labels: Sequence[Label]) -> tuple[dict[str, str | None], set[str]]:
    """Of the predictions that labels name: each request_id with its accident_id; and the accident_ids."""
    p = PREDICTIONS.c
    named = {label.request_id for label in labels if label.request_id is not None}
    found = connection.execute(select(p.request_id, p.accident_id).where(p.request_id.in_(named)))
    requests = {row.request_id: row.accident_id for row in found}
    named = {label.accident_id for label in labels if label.accident_id is not None}
    accidents = connection.scalars(select(p.accident_id).where(p.accident_id.in_(named)).distinct())
    return requests, set(accidents)


def _histories(
    connection: Connection, requests: Mapping[str, str | None], accidents: set[str]
) -> dict[Group, _History]:
    """The labels so far of these predictions, and of all others of the same accidents."""
    named = accidents | {accident_id for accident_id in requests.values() if accident_id is not None}
    mine = or_(LABELS.c.request_id.in_(requests), LABELS.c.accident_id.in_(named))
    histories: dict[Group, _History] = {}
    for label in connection.execute(select(LABELS).where(mine).order_by(LABELS.c.id)):
        group = _group(label.request_id, label.accident_id)
        histories.setdefault(group, _History()).add(label.request_id, label.severe)
    return histories


def _group(request_id: str | None, accident_id: str | None) -> Group:
    """What labels that may speak of the same prediction have in common."""
    return (None, accident_id) if accident_id is not None else (request_id, None)
