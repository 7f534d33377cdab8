"""Which predictions are old enough to be forgotten, and their removal with what was said of them.

In SQLite row by row. In PostgreSQL by the month: one that is wholly too old is dropped; of one that is too
old for predictions without an outcome a table is made of those that have one, which takes its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    MetaData,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.exc import DBAPIError

from accidents.predictions.database_tables import LABELS, PREDICTIONS, SHADOW_SCORES
from accidents.predictions.engines import in_short_tries
from accidents.predictions.labels import lock_labels
from accidents.predictions.months import Part, attach, beginning_of, month_of, over, parts_of

Result = TypeVar("Result")
AT_ONCE = 1_000  # rows a transaction: others want to write meanwhile
DAY = timedelta(days=1)
PAUSE = timedelta(days=30)  # what a log goes on with after a longer one may be of a clock that is ahead,
PROVEN = timedelta(days=7)  # until it has gone on for so long
# After which a month without anything that goes is read again: a clock that is behind may have added to it.
READ_AGAIN = timedelta(days=30)
SWAP_PATIENCE = 60  # seconds for the locks of tables that change places, once all else is done
# Whether a row of `p` has an outcome; {after}: one of those that came after a label's id.
_LABELLED = (
    "(EXISTS (SELECT 1 FROM labels l WHERE l.request_id = p.request_id AND l.id > {after}) "
    "OR EXISTS (SELECT 1 FROM labels l WHERE l.request_id IS NULL AND l.accident_id = p.accident_id "
    "AND l.caller IS NOT DISTINCT FROM p.key_name AND l.id > {after}))"
)
# Whether an accident that a label `l` speaks of has a prediction outside of a month.
_LEFT = (
    "EXISTS (SELECT 1 FROM predictions p WHERE p.accident_id = l.accident_id "
    "AND p.key_name IS NOT DISTINCT FROM l.caller AND NOT ({inside}))"
)


_THROUGH = re.compile(r"only predictions with an outcome on (\S+)")  # a month's comment


@dataclass(frozen=True)
class Ages:
    """How old predictions may become; None: for ever. Those with an outcome are worth more."""

    unlabelled: timedelta | None
    labelled: timedelta | None


@dataclass(frozen=True)
class Limits:
    """What was created before them goes; None: nothing does."""

    unlabelled: datetime | None
    labelled: datetime | None


def limits_of(ages: Ages, now: datetime, by_month: bool) -> Limits:
    """Return the limits of ages as of now; `by_month`: of whole months, so that some stay a month longer."""

    def limit(age: timedelta | None) -> datetime | None:
        if age is None:
            return None
        return month_of(now - age) if by_month else now - age

    return Limits(limit(ages.unlabelled), limit(ages.labelled))


def as_of(connection: Connection, now: datetime) -> datetime:
    """Return as of when predictions are aged: a day after the newest, and now at the latest.

    So a clock that is set forward makes none of them old. Nor do those that it has dated meanwhile: after a
    pause the newest before it counts, until the log has gone on for a week.
    """

    def newest(*where: ColumnElement[bool]) -> datetime | None:
        query = select(PREDICTIONS.c.created).where(*where).order_by(PREDICTIONS.c.created.desc()).limit(1)
        moment: datetime | None = connection.scalar(query)
        return moment

    last = newest(PREDICTIONS.c.created <= now)
    if last is None:
        return now
    before = newest(PREDICTIONS.c.created < last - PROVEN)
    if before is not None and last - PROVEN - before > PAUSE:
        last = before
    return min(now, last + DAY)


def count_old(connection: Connection, limits: Limits) -> int:
    """How many predictions are older than that."""
    old = _old(limits)
    return 0 if old is None else connection.execute(old.with_only_columns(func.count())).scalar_one()


def oldest(
    connection: Connection, limits: Limits, after: Row[Any] | None, table: str = PREDICTIONS.name
) -> Sequence[Row[Any]]:
    """Return the oldest `AT_ONCE` of them; `after`: that come after one, so that no row is looked at twice.

    What stays has an outcome, and may be most of what is that old. `table`: one of `tables_by_row`.
    """
    predictions = (
        PREDICTIONS if table == PREDICTIONS.name else PREDICTIONS.to_metadata(MetaData(), name=table)
    )
    old, p = _old(limits, predictions), predictions.c
    if old is None:
        return []
    if after is not None:
        place = tuple_(literal(after.created, p.created.type), literal(after.request_id))
        old = old.where(tuple_(p.created, p.request_id) > place)
    return connection.execute(old.order_by(p.created, p.request_id).limit(AT_ONCE)).all()


def forget(connection: Connection, limits: Limits, expired: Sequence[Row[Any]]) -> int:
    """Remove those of them that still are too old, with their labels; how many it were."""
    old = _old(limits)
    if old is None:
        return 0
    lock_labels(connection)
    still = old.where(PREDICTIONS.c.request_id.in_([row.request_id for row in expired]))
    rows = connection.execute(still).all()
    requests = [row.request_id for row in rows]
    connection.execute(delete(LABELS).where(LABELS.c.request_id.in_(requests)))
    connection.execute(delete(SHADOW_SCORES).where(SHADOW_SCORES.c.request_id.in_(requests)))
    connection.execute(delete(PREDICTIONS).where(PREDICTIONS.c.request_id.in_(requests)))
    accidents = {row.accident_id for row in rows if row.accident_id is not None}
    left = exists().where(_of_accident())
    connection.execute(delete(LABELS).where(LABELS.c.accident_id.in_(accidents), ~left))
    return len(rows)


def tables_by_row(connection: Connection, limits: Limits) -> list[str]:
    """Return the tables in PostgreSQL of which single rows may be old.

    That for the rest has rows of any age; a partition's are looked at if `forget_part` leaves such: it is old
    in part only, as what was there before the months, or predictions without an outcome stay for ever.
    """
    given = [limit for limit in (limits.unlabelled, limits.labelled) if limit is not None]
    by_row = [f"{PREDICTIONS.name}_rest"] if given else []
    by_month = {part.table for part in old_parts(connection, limits)}
    for part in parts_of(connection, PREDICTIONS.name):
        begin = beginning_of(connection, part.table)
        since = None if begin is None else datetime.fromisoformat(begin)
        is_cut = any((since is None or since < limit) and limit < part.until for limit in given)
        is_left = part.table not in by_month and any(part.until <= limit for limit in given)
        if is_cut or is_left:
            by_row.append(part.table)
    return by_row


def old_parts(connection: Connection, limits: Limits) -> list[Part]:
    """Return the months of which something may go, and nothing that is not old.

    First those that are dropped; then the newest, for of older ones earlier looks have left what stays, and
    to see that again may take all the time there is.
    """
    if limits.unlabelled is None:
        return []
    old = over(parts_of(connection, PREDICTIONS.name), limits.unlabelled)
    dropped = [] if limits.labelled is None else over(old, limits.labelled)
    return [*dropped, *reversed(old[len(dropped) :])]


def forget_part(connection: Connection, part: Part, limits: Limits, again: bool = False) -> int:
    """Remove what is old of a month that `old_parts` gave, in one transaction; how many predictions it were.

    Nobody waits while what stays is copied and what was said is removed; then, for as long as tables change
    places, everybody does. `again`: also of a month that has been looked through of late.
    """
    if part not in parts_of(connection, PREDICTIONS.name):
        return 0  # somebody else has removed it meanwhile
    if limits.labelled is not None and part.until <= limits.labelled:
        before = _count(connection, part.table)
        _drop_month(connection, part)
        return before
    if not again and _has_been_through(connection, part):
        return 0
    if not connection.scalar(text(f"SELECT EXISTS (SELECT 1 FROM {part.table} p WHERE NOT {_labelled()})")):
        with suppress(DBAPIError), connection.begin_nested():  # who has no lock or right reads it again
            _mark_through(connection, part.table)
        return 0
    before = _count(connection, part.table)
    return before - _keep_labelled(connection, part)


def _has_been_through(connection: Connection, part: Part) -> bool:
    """Whether nothing of a month went, or all that could, less than `READ_AGAIN` ago."""
    comment = connection.scalar(text("SELECT obj_description(to_regclass(:table))"), {"table": part.table})
    when = _THROUGH.search(comment or "")
    if when is None:
        return False
    return timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(when[1]) < READ_AGAIN


def _mark_through(connection: Connection, table: str) -> None:
    words = _THROUGH.pattern.replace(r"(\S+)", datetime.now(UTC).isoformat(timespec="seconds"))
    connection.execute(text(f"COMMENT ON TABLE {table} IS '{words}'"))


def _drop_month(connection: Connection, part: Part) -> None:
    """Drop it, with all that was said of it; an accident that other months have too keeps its labels."""
    newest = _newest_label(connection)
    _remove_labels(connection, part)

    def drop() -> None:
        lock_labels(connection)
        _remove_labels(connection, part, after=newest)  # said meanwhile
        for table in (*_shadows_of(connection, part), part):
            connection.execute(text(f"DROP TABLE {table.table}"))

    _in_savepoints(connection, drop)


def _in_savepoints(connection: Connection, work: Callable[[], Result]) -> Result:
    """Do what needs tables for itself, and the labels' lock, until it gets them.

    A lock that is missed costs this try alone, not the minutes of work before it in the transaction; and
    what it had locked it gives back with the savepoint.
    """

    def once() -> Result:
        with connection.begin_nested():
            return work()

    return in_short_tries(once, SWAP_PATIENCE)


def _remove_labels(connection: Connection, part: Part, after: int = 0) -> None:
    """Remove what was said of a month's predictions, if any of it was said after this label."""
    inside = _inside(beginning_of(connection, part.table), part.until.isoformat())
    spoken_of = f"SELECT request_id, accident_id, key_name FROM {part.table} p WHERE {_labelled(after)}"
    connection.execute(text(f"CREATE TEMP TABLE gone ON COMMIT DROP AS {spoken_of}"))
    connection.execute(text("ANALYZE gone"))
    connection.execute(text("DELETE FROM labels l USING gone WHERE l.request_id = gone.request_id"))
    connection.execute(
        text(
            "DELETE FROM labels l USING gone WHERE l.accident_id = gone.accident_id "
            f"AND l.caller IS NOT DISTINCT FROM gone.key_name AND NOT {_LEFT.format(inside=inside)}"
        )
    )
    connection.execute(text("DROP TABLE gone"))


def _keep_labelled(connection: Connection, part: Part) -> int:
    """Put tables with those that have an outcome in the place of a month; how many they are."""
    newest = _newest_label(connection)
    kept = _empty_beside(connection, part)
    keep = f"INSERT INTO {kept} SELECT * FROM {part.table} p WHERE {{labelled}} ON CONFLICT DO NOTHING"
    connection.execute(text(keep.format(labelled=_labelled())))
    late = keep.format(labelled=_labelled(after=newest))  # those of which it is said while we copy
    connection.execute(text(f"ANALYZE {kept}"))
    _mark_through(connection, kept)
    parts_by_table = [(PREDICTIONS.name, part)]
    for shadows in _shadows_of(connection, part):
        late = _keep_shadows(connection, part, shadows, late)
        parts_by_table.append((SHADOW_SCORES.name, shadows))

    def swap() -> int:
        lock_labels(connection)
        connection.execute(text(late))
        count = _count(connection, kept)
        for table, old in parts_by_table:
            _replace(connection, table, old, by_nothing=not count)
        return count

    return _in_savepoints(connection, swap)


def _keep_shadows(connection: Connection, part: Part, shadows: Part, late: str) -> str:
    """Copy the scores of a month but of predictions that go; return `late` with the scores of those."""
    goes = (
        f"EXISTS (SELECT 1 FROM {part.table} p WHERE p.request_id = s.request_id) "
        f"AND NOT EXISTS (SELECT 1 FROM {_beside(part)} k WHERE k.request_id = s.request_id)"
    )
    keep = f"INSERT INTO {_empty_beside(connection, shadows)} SELECT s.* FROM {shadows.table} s"
    connection.execute(text(f"{keep} WHERE NOT ({goes})"))
    connection.execute(text(f"ANALYZE {_beside(shadows)}"))
    return f"WITH late AS ({late} RETURNING request_id) {keep} JOIN late USING (request_id)"


def _empty_beside(connection: Connection, part: Part) -> str:
    """Make an empty table that can take the place of a month."""
    inside = _inside(beginning_of(connection, part.table), part.until.isoformat())
    # Known of it before it is attached, so that it is not looked through then, while everybody waits.
    bounds = f"CONSTRAINT inside CHECK ({inside})"
    connection.execute(text(f"CREATE TABLE {_beside(part)} (LIKE {part.table} INCLUDING ALL, {bounds})"))
    return _beside(part)


def _beside(part: Part) -> str:
    return f"{part.table}_kept"


def _replace(connection: Connection, table: str, part: Part, by_nothing: bool) -> None:
    """Put the table beside a month of `table` in its place, or nothing."""
    begin = beginning_of(connection, part.table)
    connection.execute(text(f"DROP TABLE {part.table}"))
    if by_nothing:
        connection.execute(text(f"DROP TABLE {_beside(part)}"))
        return
    connection.execute(text(f"ALTER TABLE {_beside(part)} RENAME TO {part.table}"))
    attach(connection, table, part.table, begin, part.until.isoformat())
    connection.execute(text(f"ALTER TABLE {part.table} DROP CONSTRAINT inside"))


def _shadows_of(connection: Connection, part: Part) -> list[Part]:
    return [shadow for shadow in parts_of(connection, SHADOW_SCORES.name) if shadow.until == part.until]


def _inside(begin: str | None, end: str) -> str:
    return f"created < '{end}'" + (f" AND created >= '{begin}'" if begin else "")


def _newest_label(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT max(id) FROM labels")) or 0)


def _count(connection: Connection, table: str) -> int:
    return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def _labelled(after: int = 0) -> str:
    return _LABELLED.format(after=after)


def _old(limits: Limits, predictions: FromClause = PREDICTIONS) -> Select[Any] | None:
    p = predictions.c
    of_request = LABELS.c.request_id == p.request_id
    of_accident = and_(LABELS.c.request_id.is_(None), _of_accident(predictions))
    labelled = or_(exists().where(of_request), exists().where(of_accident))
    too_old = []
    if limits.unlabelled is not None:
        too_old.append(and_(p.created < limits.unlabelled, ~labelled))
    if limits.labelled is not None:
        too_old.append(and_(p.created < limits.labelled, labelled))
    if not too_old:
        return None
    # Of the index of time no more than may be too old: else the last look would go through all of the log.
    last = p.created < max(limit for limit in (limits.unlabelled, limits.labelled) if limit)
    return select(p.request_id, p.created, p.accident_id).where(last, or_(*too_old))


def _of_accident(predictions: FromClause = PREDICTIONS) -> ColumnElement[bool]:
    """Whether a label speaks of a prediction's accident: an id is its caller's own."""
    same_caller = LABELS.c.caller.is_not_distinct_from(predictions.c.key_name)
    return and_(LABELS.c.accident_id == predictions.c.accident_id, same_caller)
