"""Vehicles and users of each row of an accident file: lists, or how many vehicles of each kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from accidents.data.tables import DTYPES
from accidents.scoring.batch import row_parsers
from accidents.scoring.batch.row_parsers import Parser
from accidents.scoring.batch.rows import Rows, used

# A vehicle that stands for its kind in a file that only counts: a BAAC category of the feature of that name.
KINDS = {
    "bicycles": 1,
    "mopeds": 30,
    "motorcycles": 33,
    "cars": 7,
    "vans": 10,
    "lorries": 14,
    "public_transport": 37,
    "machines": 21,
    "other_vehicles": 99,
}
_PARSERS: dict[str, Callable[[str], Parser]] = {
    "vehicles": row_parsers.vehicle_column,
    "users": row_parsers.user_column,
}
_MOST = 500  # vehicles, or users, of one accident


def vehicles_and_users(rows: Rows) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the two tables; a row's list of vehicles goes before its counts."""
    vehicles = _listed(rows, "vehicles")
    counted = _counted(rows)
    listed = {row for row, _ in vehicles}
    vehicles += [(row, vehicle) for row, vehicle in counted if row not in listed]
    vehicles.sort(key=lambda pair: pair[0])
    return _table("vehicles", vehicles), _table("users", _listed(rows, "users"))


def _table(table: str, entries: list[tuple[int, dict[str, Any]]]) -> pd.DataFrame:
    data: dict[str, Any] = {"accident_id": np.array([row + 1 for row, _ in entries], dtype=np.int64)}
    for name in known_keys(table):
        data[name] = pd.Series([entry.get(name) for _, entry in entries], dtype=DTYPES[table][name])
    return pd.DataFrame(data)


@cache
def known_keys(table: str) -> tuple[str, ...]:
    """Return what a vehicle or a user may say; `severity`, the label, only to compare with."""
    return tuple(name for name in DTYPES[table] if name in (*used(table), "severity"))


def _counted(rows: Rows) -> list[tuple[int, dict[str, Any]]]:
    vehicles = []
    for kind, category in KINDS.items():
        if kind in rows.file.columns:
            for row, number in enumerate(rows.values(kind, row_parsers.count(kind))):
                vehicles += [(row, {"category": category})] * (number or 0)
    return vehicles


def _listed(rows: Rows, table: str) -> list[tuple[int, dict[str, Any]]]:
    entries = []
    parsers = {name: _remembering(_PARSERS[table](name)) for name in known_keys(table)}
    for row, cell in enumerate(rows.cells(table)):
        for entry in _list(rows, table, row, cell):
            entries.append((row, _read_one(rows, table, row, entry, parsers)))
    return entries


def _list(rows: Rows, table: str, row: int, cell: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON list, or of a nested one."""
    if isinstance(cell, str):
        if not cell.strip():
            return
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            rows.blank(row, table, cell, "not a JSON list")
            return
    if cell is None:
        return
    if not isinstance(cell, list) or len(cell) > _MOST:
        rows.blank(row, table, cell, f"not a list of at most {_MOST}")
        return
    for entry in cell:
        if isinstance(entry, dict):
            yield entry
        else:
            rows.blank(row, table, entry, 'not an object such as {"category": "bicycle"}')


def _read_one(
    rows: Rows, table: str, row: int, entry: dict[str, Any], parsers: dict[str, Parser]
) -> dict[str, Any]:
    rows.unknown_keys.update(f"{table}.{key}" for key in entry.keys() - DTYPES[table].keys())
    values = {}
    for name, parse in parsers.items():
        value = entry.get(name)
        if value is None:
            continue
        cell = parse(str(value))
        if cell.action == "blanked":
            rows.blank(row, f"{table}.{name}", value, cell.rule)
        values[name] = cell.value
    return values


def _remembering(parse: Parser) -> Parser:
    """Return the same parser, which sees each distinct text once."""
    return cache(parse)
