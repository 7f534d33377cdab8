"""What accidents turned out to be: labels are added, never changed, and the newest counts.

Who may say what: docs/decisions/0012-who-may-steer-the-loop.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, or_, select, text, update

from accidents.predictions.database_tables import (
    LABELS,
    PREDICTIONS,
    PredictionLogError,
    among,
    check_text,
)

MAX_CHANGES = (
    100  # of one outcome by who gave it: then only `correct` changes it, so no history grows for ever
)
_OUTCOME = (
    LABELS.c.severe.label("severe"),
    LABELS.c.created.label("labelled"),
    LABELS.c.key_name.label("labelled_by"),
    LABELS.c.trusted.label("label_trusted"),
)
_NO_OUTCOME: dict[str, Any] = {column.name: None for column in _OUTCOME}


@dataclass(frozen=True, slots=True)
class Label:
    """How an accident turned out: for one prediction (request_id) or all of an accident's (accident_id).

    key_name: who says so; trusted: with the right to correct what others said.
    """

    severe: bool
    request_id: str | None = None
    accident_id: str | None = None
    key_name: str | None = None
    trusted: bool = False

    def __post_init__(self) -> None:
        if (self.request_id is None) == (self.accident_id is None):
            raise PredictionLogError("A label names either a request_id or an accident_id: give one of them.")
        for name in ("request_id", "accident_id", "key_name"):
            check_text(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Target:
    """What a label is of: a prediction, or without a request_id all that `caller` asked of an accident.

    witness: the request_id of one of these predictions, by which it is seen whether they are still there.
    """

    caller: str | None
    accident_id: str | None
    request_id: str | None = None
    witness: str | None = field(default=None, compare=False)

    @property
    def accident(self) -> Target:
        """What labels that may speak of the same prediction have in common."""
        return self if self.accident_id is None else Target(self.caller, self.accident_id)


class NewestLabels:
    """The label that counts of each of these predictions."""

    def __init__(self, connection: Connection, predictions: Sequence[Mapping[Any, Any]]) -> None:
        requests = {prediction["request_id"] for prediction in predictions}
        accidents = {prediction["accident_id"] for prediction in predictions} - {None}
        query = select(LABELS.c.caller, LABELS.c.accident_id, LABELS.c.request_id, LABELS.c.id, *_OUTCOME)
        query = query.where(LABELS.c.newest)
        own = query.where(among(connection, LABELS.c.request_id, requests))
        whole = query.where(LABELS.c.request_id.is_(None), among(connection, LABELS.c.accident_id, accidents))
        self._newest: dict[tuple[str | None, ...], tuple[int, dict[str, Any]]] = {}
        for caller, accident, request, number, *outcome in connection.execute(own.union_all(whole)):
            self._newest[caller, accident, request] = number, dict(zip(_NO_OUTCOME, outcome, strict=True))

    def of(self, prediction: Mapping[Any, Any]) -> dict[str, Any]:
        """`severe`, `labelled` (when), `labelled_by`, `label_trusted`; all None while there is no label."""
        caller, accident = prediction["key_name"], prediction["accident_id"]
        own = self._newest.get((caller, accident, prediction["request_id"]))
        whole = None if accident is None else self._newest.get((caller, accident, None))
        if own is None or (whole is not None and whole[0] > own[0]):
            own = whole
        return _NO_OUTCOME if own is None else own[1]


class _Outcome(NamedTuple):
    """What was said, by whom, and whether with the right to correct."""

    severe: bool
    giver: str | None
    trusted: bool


@dataclass(slots=True)
class _Said:
    """The labels that count now among the predictions of one accident."""

    whole: _Outcome | None = None  # the newest label of the accident
    own: dict[str, _Outcome] = field(default_factory=dict)  # of single ones that came after it

    def about(self, request_id: str | None) -> set[_Outcome | None]:
        """Return what was said of the predictions that a label would be of; None for nothing."""
        return (
            {self.whole, *self.own.values()} if request_id is None else {self.own.get(request_id, self.whole)}
        )

    def add(self, request_id: str | None, outcome: _Outcome) -> None:
        if request_id is None:
            self.whole = outcome
            self.own.clear()
        else:
            self.own[request_id] = outcome


def targets_of(connection: Connection, labels: Sequence[Label]) -> list[Target | None]:
    """Return what each label is of; None for no prediction. Needs no lock: see `add_labels`."""
    requests = _requests(connection, {label.request_id for label in labels if label.request_id is not None})
    callers = _callers(connection, {label.accident_id for label in labels if label.accident_id is not None})
    return [
        requests.get(label.request_id) if label.request_id is not None else _whole(label, callers)
        for label in labels
    ]


def _requests(connection: Connection, named: Collection[str]) -> dict[str, Target]:
    """Return what a label of each request is of: in a session its last request, for drafts never count."""
    p = PREDICTIONS.c
    query = select(p.request_id, p.accident_id, p.key_name, p.session)
    rows = connection.execute(query.where(p.request_id.in_(named))).all()
    place = func.row_number().over(
        partition_by=(p.key_name, p.session), order_by=(p.created.desc(), p.request_id.desc())
    )
    sessions = {row.session for row in rows} - {None}
    ranked = query.add_columns(place.label("place")).where(p.session.in_(sessions)).subquery()
    newest = connection.execute(select(ranked).where(ranked.c.place == 1)) if sessions else ()
    lasts = {(row.key_name, row.session): row for row in newest}
    counting = {row.request_id: lasts.get((row.key_name, row.session), row) for row in rows}
    return {
        name: Target(row.key_name, row.accident_id, row.request_id, row.request_id)
        for name, row in counting.items()
    }


def _callers(connection: Connection, named: Collection[str]) -> dict[str, dict[str | None, Target]]:
    """Return whose accidents have each of these ids: who used it first comes first."""
    p = PREDICTIONS.c
    first = func.min(p.created)
    query = select(p.accident_id, p.key_name, func.min(p.request_id).label("witness"))
    query = query.where(p.accident_id.in_(named)).group_by(p.accident_id, p.key_name)
    callers: dict[str, dict[str | None, Target]] = {}
    for row in connection.execute(query.order_by(first, p.key_name)):
        target = Target(row.key_name, row.accident_id, witness=row.witness)
        callers.setdefault(row.accident_id, {})[row.key_name] = target
    return callers


def _whole(label: Label, callers: Mapping[str, Mapping[str | None, Target]]) -> Target | None:
    """Return the labelling caller's own accident of this id, else that of who used the id first."""
    of_id = callers.get(str(label.accident_id))
    if of_id is None:
        return None
    return of_id.get(label.key_name) or next(iter(of_id.values()))


def add_labels(
    connection: Connection, labels: Sequence[Label], targets: Sequence[Target | None]
) -> list[str]:
    """In a writing transaction; see `PredictionLog.add_labels`."""
    lock_labels(connection)
    if not _are_there(connection, targets):  # removed since they were looked up
        targets = targets_of(connection, labels)
    book = _Book(connection, [target for target in targets if target is not None])
    statuses = [
        "unknown" if target is None else book.enter(label, target)
        for label, target in zip(labels, targets, strict=True)
    ]
    book.write(connection)
    return statuses


def _are_there(connection: Connection, targets: Sequence[Target | None]) -> bool:
    witnesses = {target.witness for target in targets if target is not None}
    query = select(func.count()).select_from(PREDICTIONS).where(PREDICTIONS.c.request_id.in_(witnesses))
    return connection.scalar(query) == len(witnesses)


def lock_labels(connection: Connection) -> None:
    """Keep others from adding labels until this transaction ends; in SQLite BEGIN IMMEDIATE has done so.

    It is no lock of the table: that would wait for autovacuum and ANALYZE, too.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('accidents.labels'))"))


class _Book:
    """What counts of the accidents that a batch speaks of, and the rows that the batch adds."""

    def __init__(self, connection: Connection, targets: Sequence[Target]) -> None:
        self._outcomes: dict[Target, _Said] = {}
        self._newest: dict[Target, dict[str, Any]] = {}
        self._outdated: list[int] = []
        self._rows: list[dict[str, Any]] = []
        self._now = datetime.now(UTC)
        requests = {target.request_id for target in targets if target.request_id is not None}
        accidents = {target.accident_id for target in targets if target.accident_id is not None}
        mine = or_(LABELS.c.request_id.in_(requests), LABELS.c.accident_id.in_(accidents))
        query = select(LABELS).where(LABELS.c.newest, mine).order_by(LABELS.c.id)
        for label in connection.execute(query).mappings():
            target = _target(label)
            self._newest[target] = dict(label)
            outcome = _Outcome(label["severe"], label["key_name"], label["trusted"])
            self._of(target).add(target.request_id, outcome)

    def _of(self, target: Target) -> _Said:
        return self._outcomes.setdefault(target.accident, _Said())

    def enter(self, label: Label, target: Target) -> str:
        """Take a label in, if it is new and may be; its status."""
        earlier = self._of(target).about(target.request_id)
        outcomes = [outcome for outcome in earlier if outcome is not None]
        values = {outcome and outcome.severe for outcome in earlier}
        confirms = label.trusted and not all(outcome.trusted for outcome in outcomes)
        if values == {label.severe} and not confirms:
            return "unchanged"
        before = self._newest.get(target)
        changes = 0 if before is None else before["changes"] + 1
        givers = {outcome.giver for outcome in outcomes}
        if not label.trusted and (givers - {label.key_name} or changes > MAX_CHANGES):
            return "refused"
        self._replace(before)
        row = {
            "request_id": target.request_id, "accident_id": target.accident_id, "severe": label.severe,
            "created": self._now, "key_name": label.key_name, "caller": target.caller,
            "trusted": label.trusted, "changes": changes, "newest": True,
        }  # fmt: skip
        self._rows.append(row)
        self._newest[target] = row
        self._of(target).add(target.request_id, _Outcome(label.severe, label.key_name, label.trusted))
        return "corrected" if (not label.severe) in values else "recorded"

    def _replace(self, before: dict[str, Any] | None) -> None:
        if before is None:
            return
        before["newest"] = False
        if "id" in before:
            self._outdated.append(before["id"])

    def write(self, connection: Connection) -> None:
        """Add the rows, after those that they replace have been marked."""
        if self._outdated:
            connection.execute(update(LABELS).where(LABELS.c.id.in_(self._outdated)).values(newest=False))
        if self._rows:
            connection.execute(LABELS.insert(), self._rows)


def _target(row: Mapping[Any, Any]) -> Target:
    """Return what a row of `labels` is of."""
    return Target(row["caller"], row["accident_id"], row["request_id"])
