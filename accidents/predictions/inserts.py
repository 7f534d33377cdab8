"""Rows into a table of the prediction log: the statement, and the values as a driver takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Dialect, Table, TextClause, bindparam, text


@cache
def insert_into(table: Table) -> TextClause:
    """As text, for SQLAlchemy compiles its own ON CONFLICT anew at every commit, at thrice the cost."""
    names = table.c.keys()
    values = ", ".join(f":{name}" for name in names)
    statement = text(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) ON CONFLICT DO NOTHING"
    )
    return statement.bindparams(*(bindparam(column.name, type_=column.type) for column in table.c))


def as_driver_takes(
    table: Table, rows: Sequence[Mapping[str, Any]], dialect: Dialect
) -> list[dict[str, Any]]:
    """Return the rows with the values that SQLAlchemy would hand to the driver."""
    conversions = _conversions(table, dialect)
    return [{**row, **{name: convert(row[name]) for name, convert in conversions}} for row in rows]


@cache
def _conversions(table: Table, dialect: Dialect) -> list[tuple[str, Callable[[Any], Any]]]:
    conversions = (
        (column.name, column.type.dialect_impl(dialect).bind_processor(dialect)) for column in table.c
    )
    return [(name, convert) for name, convert in conversions if convert is not None]
