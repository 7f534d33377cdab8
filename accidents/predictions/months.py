"""The months of the prediction log in PostgreSQL: each a partition, made ahead and dropped whole.

Rows of no month that there is (a clock was far off) go into a table for the rest, so that none is refused.
What a log held before it had months is one partition, `..._before`. SQLite has none of this.
Why: docs/decisions/0035-months-of-the-log.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from accidents.predictions.database_tables import PREDICTIONS, SHADOW_SCORES

TABLES_BY_MONTH = (PREDICTIONS.name, SHADOW_SCORES.name)
AHEAD = 3  # months that are there before they begin
_LOWER = re.compile(r"FROM \('([^']+)'\)")
_BOUNDS = text("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = to_regclass(:table)")
_UPPER = re.compile(r"TO \('([^']+)'\)")
_PARTS = text(
    "SELECT part.relname, pg_get_expr(part.relpartbound, part.oid) FROM pg_inherits "
    "JOIN pg_class AS part ON part.oid = inhrelid WHERE inhparent = to_regclass(:table)"
)


@dataclass(frozen=True, order=True)
class Part:
    """A partition that ends: what it holds was created before `until`."""

    until: datetime
    table: str


def month_of(moment: datetime) -> datetime:
    """Return the beginning of a moment's month, in UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def later(month: datetime, months: int = 1) -> datetime:
    """Return the beginning of the month that is so many later."""
    years, place = divmod(month.month - 1 + months, 12)
    return month.replace(year=month.year + years, month=place + 1)


def name_of(table: str, month: datetime) -> str:
    """Return the name of a month's partition."""
    return f"{table}_{month:%Y_%m}"


def parts_of(connection: Connection, table: str) -> list[Part]:
    """Return the partitions of a table, the oldest first, without that for the rest."""
    partitions = connection.execute(_PARTS, {"table": table}).all()
    ends = ((name, _UPPER.search(bounds)) for name, bounds in partitions)
    return sorted(Part(datetime.fromisoformat(end[1]).astimezone(UTC), name) for name, end in ends if end)


def beginning_of(connection: Connection, part: str) -> str | None:
    """Return the moment from which on a partition holds what was created; None: from ever."""
    bounds = connection.scalar(_BOUNDS, {"table": part}) or ""
    bound = _LOWER.search(bounds)
    return bound[1] if bound else None


def missing(connection: Connection, now: datetime) -> list[tuple[str, datetime]]:
    """Return the months from now on that have to be made: their table and their beginning."""
    wanted = [later(month_of(now), count) for count in range(AHEAD + 1)]
    there = {table: {part.until for part in parts_of(connection, table)} for table in TABLES_BY_MONTH}
    return [
        (table, month) for table in TABLES_BY_MONTH for month in wanted if later(month) not in there[table]
    ]


def make_missing(connection: Connection, now: datetime) -> None:
    """Make them."""
    for table, month in missing(connection, now):
        make(connection, table, month)


def make(connection: Connection, table: str, month: datetime) -> None:
    """Make a month's partition; what of it came into the table for the rest moves over.

    It is attached to the table, not made as a part of it, for that would wait for everybody who uses it.
    """
    name, rest = name_of(table, month), f"{table}_rest"
    bounds = {"begin": month, "end": later(month)}
    connection.execute(text(f"LOCK TABLE {rest} IN ACCESS EXCLUSIVE MODE"))
    connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"))
    moved = f"DELETE FROM {rest} WHERE created >= :begin AND created < :end RETURNING *"
    connection.execute(text(f"WITH moved AS ({moved}) INSERT INTO {name} SELECT * FROM moved"), bounds)
    attach(connection, table, name, month.isoformat(), later(month).isoformat())


def attach(connection: Connection, table: str, part: str, begin: str | None, end: str) -> None:
    """Make a table a partition, from `begin` (None: of all time) to `end`."""
    first = "MINVALUE" if begin is None else f"'{begin}'"
    connection.execute(
        text(f"ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES FROM ({first}) TO ('{end}')")
    )


def over(parts: Sequence[Part], limit: datetime) -> list[Part]:
    """Return those in which everything was created before a moment."""
    return [part for part in parts if part.until <= limit]
