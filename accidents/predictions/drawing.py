"""A random part of a log that is too large to be read: some accidents, and more of those with an outcome.

A request_id is random (uuid4), so those below a bound are a random part of the predictions, which the key's
index finds without the rest. An accident is drawn with its last prediction, and comes with all of them. So
a window of many millions is looked at in the time that `most` accidents take, each as likely as any other;
but of a caller who would be more than a share of them, fewer: else a flood leaves nothing of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    CursorResult,
    Select,
    and_,
    cast,
    func,
    or_,
    select,
    true,
)

from accidents.predictions.database_tables import LABELS, PREDICTIONS, among

Row = dict[str, Any]
T = TypeVar("T")
Accident = tuple[str | None, str]  # whose id it is, and the id
_PAGE = 1_000  # rows whose accidents and labels are looked up together
_SOME = 10_000  # outcomes that say how many there are
_FURTHER = 10  # times as many rows are looked through for those of the others, where callers are drawn less
_DIGITS = 8  # of a request_id, that the bound is made of
_MIX, _SPACE = 2_654_435_761, 2**32  # ids in the order they came, spread evenly over the space


@dataclass(frozen=True)
class Drawing:
    """What is drawn.

    Attributes
    ----------
    since : the beginning of the window; None: of the log.
    stage : whose predictions these are; None: of all stages.
    predictions : how many there are, each draft one; beside other stages, about how many.
    bound : request_ids below it are drawn; None: all there are.
    labels : the share of the outcomes whose accidents are read, too.
    until : the end of the window, which is not in it; None: all since.
    of_callers : the bound of those who would be more than their share; None: callers without a key.
    labels_of_callers : of such callers, the share of the outcomes of their accidents.
    """

    since: datetime | None
    stage: str | None
    predictions: int
    bound: str | None
    labels: float
    until: datetime | None = None
    of_callers: Mapping[str | None, str] = field(default_factory=dict)
    labels_of_callers: Mapping[str | None, float] = field(default_factory=dict)

    @property
    def all(self) -> bool:
        """Whether nothing is left out."""
        return self.bound is None

    @property
    def drawn_of(self) -> int | None:
        """How many predictions there are, where a part of them is drawn."""
        return None if self.all else self.predictions

    def draws(self, caller: str | None, request: str) -> bool:
        """Whether a caller's accident is drawn of which this is the last prediction."""
        return self.bound is None or request < self.of_callers.get(caller, self.bound)


def draw(
    connection: Connection,
    since: datetime | None,
    last: int | None,
    most: int,
    stage: str | None,
    until: datetime | None = None,
    per_caller: float | None = None,
    enough: int = 1,
) -> Drawing:
    """Say what is read of a stage's predictions since a moment, or of its last so many: `most`, or all.

    Of accidents with an outcome it is half as many at least, or all.
    """
    if last is not None:
        since = _since_last(connection, _in_window(since, stage, until), last) or since
    inside = _in_window(since, stage, until)
    predictions = _predictions_of(connection, since, stage, most, until)
    if last is not None:
        predictions = min(predictions, last)  # an estimate may say more, and have few of them drawn
    if predictions <= most:
        return Drawing(since, stage, predictions, None, 0.0, until)
    labels = _labels_of(connection, since, inside, all_of_them=since is None and stage is None)
    share, less = most / predictions, dict[str | None, float]()
    if per_caller is not None:
        share, less = allot(_by_caller(connection, inside, share), most, per_caller, enough)
        share = min(share, _FURTHER * most / predictions)
        less = {caller: part for caller, part in less.items() if part < share}
    drawn = 0 if less else share * labels  # as many as are drawn anyhow are not needed once more
    further = most / 2 - drawn
    labels_share, labels_less = min(1.0, max(0.0, further / max(labels, 1))), dict[str | None, float]()
    if less and labels_share:
        labels_share, labels_less = allot(
            _labels_by_caller(connection, since, labels), further, per_caller or 1, enough
        )
    bounds = {caller: _bound(part) for caller, part in less.items()}
    return Drawing(since, stage, predictions, _bound(share), labels_share, until, bounds, labels_less)


def allot(
    counts: Mapping[str | None, float], most: float, per_caller: float, enough: int
) -> tuple[float, dict[str | None, float]]:
    """Return the share of all that is drawn, and that of callers who would be too much of it.

    Those who are left share what the others may not have. Callers too few for the share have equal ones, and
    those with fewer than `enough` count as one, as in monitoring/callers.py.
    """
    voices = sum(min(count, enough) for count in counts.values()) // enough
    at_most = most * max(per_caller, 1 / max(voices, 1))
    less: dict[str | None, float] = {}
    while True:
        left = sum(count for caller, count in counts.items() if caller not in less)
        share = min(1.0, (most - at_most * len(less)) / max(left, 1))
        too_much = {
            caller: at_most / count
            for caller, count in counts.items()
            if caller not in less and share * count > at_most * 1.01  # else rounding
        }
        if not too_much:
            return share, less
        less |= too_much


def _by_caller(connection: Connection, inside: ColumnElement[bool], share: float) -> dict[str | None, float]:
    """How many predictions each caller has in a window, as such a share of them says."""
    caller, part = PREDICTIONS.c.key_name, PREDICTIONS.c.request_id < _bound(share)
    rows = connection.execute(select(caller, func.count()).where(inside, part).group_by(caller)).all()
    return {name: count / share for name, count in rows}


def _labels_by_caller(
    connection: Connection, since: datetime | None, labels: float
) -> dict[str | None, float]:
    """How many outcomes there are of each caller's accidents, if all of them together are so many."""
    newest = _labels(since, 1).subquery()
    rows = connection.execute(select(newest.c.caller, func.count()).group_by(newest.c.caller)).all()
    every = sum(count for _, count in rows)
    return {name: count * labels / every for name, count in rows}


def _bound(share: float) -> str:
    """Return what such a share of all request_ids is below."""
    return f"{int(share * 16**_DIGITS):0{_DIGITS}x}" if share < 1 else "g"  # after all digits


def _count(connection: Connection, *where: ColumnElement[bool]) -> int:
    return int(connection.scalar(select(func.count()).select_from(PREDICTIONS).where(*where)) or 0)


def _predictions_of(
    connection: Connection, since: datetime | None, stage: str | None, most: int, until: datetime | None
) -> int:
    """How many predictions of a stage there are in the window; in a large one, as a random part says.

    No index knows the stage. The index of time counts all stages; to count one, every row would be read.
    """
    window = _in_window(since, None, until)
    every = _count(connection, window)
    if stage is None:
        return every
    if every <= most:
        return _count(connection, _in_window(since, stage, until))
    part = window, PREDICTIONS.c.request_id < _bound(most / every)
    of_stage = func.count().filter(PREDICTIONS.c.stage == stage)
    seen, matching = connection.execute(
        select(func.count(), of_stage).select_from(PREDICTIONS).where(*part)
    ).one()
    return round(every * int(matching) / max(int(seen), 1))


def _labels_of(
    connection: Connection, since: datetime | None, inside: ColumnElement[bool], all_of_them: bool
) -> float:
    """How many outcomes of the stage's predictions in the window there are, as some of those told since say.

    An outcome comes months later: most that are told in a window may be of what came before it.
    """
    query = select(func.count()).select_from(_labels(since, 1).subquery())
    count = int(connection.scalar(query) or 0)
    if not count or all_of_them:
        return count
    reader = _Accidents(connection, inside)
    some = list(dicts(connection.execute(_labels(since, _SOME / count))))
    labelled = sum(len(reader.labelled(page)) for page in batched(some))
    return count * labelled / max(len(some), 1)


def drawn_rows(
    connection: Connection,
    drawing: Drawing,
    no_draft: ColumnElement[bool],
    stream: Callable[[Select[Any]], Any],
) -> Iterator[tuple[Row, bool]]:
    """Yield the predictions of the accidents drawn; False with those that are there for their outcome alone.

    Those of an accident come together, in the order of time.
    """
    assert drawing.bound is not None
    counting = and_(_in_window(drawing.since, drawing.stage, drawing.until), no_draft)
    reader = _Accidents(connection, counting)
    below = select(PREDICTIONS).where(PREDICTIONS.c.request_id < drawing.bound, *_drawn_less(drawing))
    for page in batched(stream(below.where(counting))):
        for row in reader.of(page):
            yield row, True
    if not drawing.labels:
        return
    for labels in batched(stream(_labels(drawing.since, drawing.labels, drawing.labels_of_callers))):
        labelled = reader.labelled(labels)
        further = [request for caller, request in labelled if not drawing.draws(caller, request)]
        for row in reader.of(list(reader.rows(further).values())):
            yield row, False


def _drawn_less(drawing: Drawing) -> Iterator[ColumnElement[bool]]:
    for caller, bound in drawing.of_callers.items():
        yield or_(PREDICTIONS.c.key_name.is_distinct_from(caller), PREDICTIONS.c.request_id < bound)


class _Accidents:
    """Finds the predictions of accidents; each accident is given once."""

    def __init__(self, connection: Connection, counting: ColumnElement[bool]) -> None:
        self._connection, self._counting = connection, counting
        self._given: set[Accident] = set()

    def of(self, lasts: Sequence[Row]) -> Iterator[Row]:
        """Yield those of the accidents of which one of these is the last; one without an id is by itself."""
        accidents = {_accident_of(row) for row in lasts if row["accident_id"] is not None}
        ids = self._ids_of(accidents - self._given)
        chosen: list[tuple[Row, list[str]]] = []
        for row in lasts:
            accident = _accident_of(row)
            group = ids.get(accident, [row["request_id"]])
            if accident in self._given or group[-1] != row["request_id"]:
                continue
            if row["accident_id"] is not None:
                self._given.add(accident)
            chosen.append((row, group))
        earlier = self.rows([request for _, group in chosen for request in group[:-1]])
        for row, group in chosen:
            yield from (earlier[request] for request in group[:-1])
            yield row

    def labelled(self, labels: Sequence[Row]) -> list[tuple[str | None, str]]:
        """Return the caller and the last prediction of each accident that these speak of."""
        requests = [label["request_id"] for label in labels if label["request_id"] is not None]
        matches = (
            self._matches(among(self._connection, PREDICTIONS.c.request_id, requests)) if requests else []
        )
        of_accident = (label for label in labels if label["request_id"] is None)
        accidents = {(label["caller"], label["accident_id"]) for label in of_accident}
        accidents |= {(caller, accident) for _, caller, accident in matches if accident is not None}
        alone = [(caller, request) for request, caller, accident in matches if accident is None]
        return alone + [(caller, group[-1]) for (caller, _), group in self._ids_of(accidents).items()]

    def _ids_of(self, accidents: set[Accident]) -> dict[Accident, list[str]]:
        """Return the request_ids of accidents, in the order of time."""
        if not accidents:
            return {}
        names = {name for _, name in accidents}
        groups: dict[Accident, list[str]] = {}
        for request, caller, name in self._matches(among(self._connection, PREDICTIONS.c.accident_id, names)):
            if (caller, name) in accidents:  # another caller's id is another accident
                groups.setdefault((caller, name), []).append(request)
        return groups

    def _matches(self, wanted: ColumnElement[bool]) -> Sequence[Any]:
        """Return the request_id, caller and accident_id of predictions, in the order of time."""
        p = PREDICTIONS.c
        query = select(p.request_id, p.key_name, p.accident_id).where(self._counting, wanted)
        return self._connection.execute(query.order_by(p.created, p.request_id)).all()

    def rows(self, requests: Sequence[str]) -> dict[str, Row]:
        """Return these predictions by their request_id."""
        if not requests:
            return {}
        wanted = among(self._connection, PREDICTIONS.c.request_id, requests)
        rows = self._connection.execute(select(PREDICTIONS).where(self._counting, wanted))
        return {row["request_id"]: row for row in dicts(rows)}


def _accident_of(row: Row) -> Accident:
    if row["accident_id"] is None:
        return None, row["request_id"]
    return row["key_name"], row["accident_id"]


def _labels(
    since: datetime | None, share: float, of_callers: Mapping[str | None, float] | None = None
) -> Select[Any]:
    """Return a random share of the outcomes that count and were told since a moment; 1 or more: all.

    `of_callers`: a smaller one of those of some callers' accidents.
    """
    chosen = select(LABELS).where(LABELS.c.newest)
    if since is not None:
        chosen = chosen.where(LABELS.c.created >= since)  # none is said before its prediction is made
    place = cast(LABELS.c.id, BigInteger) * _MIX % _SPACE
    if share < 1:
        chosen = chosen.where(place < int(share * _SPACE))
    for caller, less in (of_callers or {}).items():
        chosen = chosen.where(or_(LABELS.c.caller.is_distinct_from(caller), place < int(less * _SPACE)))
    return chosen


def _since_last(connection: Connection, inside: ColumnElement[bool], last: int) -> datetime | None:
    newest = select(PREDICTIONS.c.created).where(inside).order_by(PREDICTIONS.c.created.desc())
    first: datetime | None = connection.scalar(newest.offset(max(last - 1, 0)).limit(1))
    return first


def _in_window(
    since: datetime | None, stage: str | None = None, until: datetime | None = None
) -> ColumnElement[bool]:
    return and_(
        true() if until is None else PREDICTIONS.c.created < until,
        true() if since is None else PREDICTIONS.c.created >= since,
        true() if stage is None else PREDICTIONS.c.stage == stage,
    )


def dicts(result: CursorResult[Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows: read many times by name, SQLAlchemy's own are slower."""
    names = tuple(result.keys())
    for row in result:
        yield dict(zip(names, row, strict=True))


def batched(rows: Iterable[T], size: int = _PAGE) -> Iterator[list[T]]:
    """Yield so many at a time; Python has this from 3.12 on."""
    rows = iter(rows)
    while page := list(islice(rows, size)):
        yield page
