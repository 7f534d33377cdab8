"""The four typed tables that every year is read into, whatever its file format was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import pandas_dtype

from accidents.errors import DataError
from accidents.vocabulary.codes import TABLES, column

if TYPE_CHECKING:
    import pandera.pandas as pa

# Every column of every table with its type, in order. Nullable integers so that missing stays missing.
DTYPES: Mapping[str, Mapping[str, str]] = {
    "accidents": {
        "accident_id": "int64",
        "year": "Int16",
        "month": "Int8",
        "day": "Int8",
        "hour": "Int8",
        "minute": "Int8",
        "light": "Int8",
        "department": "str",
        "commune": "str",
        "built_up": "Int8",
        "junction": "Int8",
        "weather": "Int8",
        "collision": "Int8",
        "latitude": "float64",
        "longitude": "float64",
    },
    "places": {
        "accident_id": "int64",
        "road_class": "Int8",
        "road_number": "str",
        "layout": "Int8",
        "lanes": "Int8",
        "reserved_lane": "Int8",
        "gradient": "Int8",
        "milepost": "Int32",
        "milepost_distance": "Int32",
        "alignment": "Int8",
        "reserve_width": "float32",
        "road_width": "float32",
        "surface": "Int8",
        "infrastructure": "Int8",
        "position": "Int8",
        "near_school": "Int8",
        "speed_limit": "Int16",
    },
    "vehicles": {
        "accident_id": "int64",
        "vehicle_id": "str",
        "direction": "Int8",
        "category": "Int8",
        "fixed_obstacle": "Int8",
        "moving_obstacle": "Int8",
        "impact": "Int8",
        "manoeuvre": "Int8",
        "engine": "Int8",
        "occupants": "Int16",
    },
    "users": {
        "accident_id": "int64",
        "vehicle_id": "str",
        "seat": "Int8",
        "role": "Int8",
        "severity": "Int8",
        "sex": "Int8",
        "birth_year": "Int16",
        "trip": "Int8",
        "equipment": "Int8",
        "equipment1": "Int8",
        "equipment2": "Int8",
        "equipment3": "Int8",
        "pedestrian_location": "Int8",
        "pedestrian_action": "str",
        "pedestrian_company": "Int8",
    },
}

_ONE_ROW_EACH = ("accidents", "places")  # tables with one row an accident
_Allowed = list[str] | list[int] | tuple[float, float] | None

# Bounds of columns that codes.yaml does not bound as they stand in the tables.
_BOUNDS = {
    "accident_id": (190_000_000_000, 209_999_999_999),
    "year": (1900, 2099),
    "hour": (0, 23),
    "minute": (0, 59),
    "birth_year": (1790, 2099),
    "latitude": (-90.0, 90.0),
    "longitude": (-180.0, 180.0),
}


@dataclass(frozen=True)
class Tables:
    """The accidents of one or more years; the columns and types are those of `DTYPES`, with a RangeIndex.

    `places` has exactly one row per accident, in the order of `accidents`. Rows of `vehicles` and `users`
    always belong to an accident; an accident may have none.
    """

    accidents: pd.DataFrame
    places: pd.DataFrame
    vehicles: pd.DataFrame
    users: pd.DataFrame

    def validate(self) -> Tables:
        """Check all four tables against their schemas and return them. Raises DataError naming what fails."""
        for table in TABLES:
            frame: pd.DataFrame = getattr(self, table)
            if not _is_valid(table, frame):
                _validate(table, frame)
        if not self.accidents["accident_id"].equals(self.places["accident_id"]):
            raise DataError("table places: not one row per accident in order. Read the year again.")
        return self


def concat(parts: Sequence[Tables]) -> Tables:
    """Put the tables of several years behind one another. Raises ValueError if there are none."""
    return Tables(
        **{table: pd.concat([getattr(part, table) for part in parts], ignore_index=True) for table in TABLES}
    )


def chosen(tables: Tables, keep: npt.NDArray[np.bool_] | pd.Series) -> Tables:
    """Return the accidents where `keep` (bool [accidents]) holds, with their places, vehicles and users."""
    ids = tables.accidents.loc[keep, "accident_id"]
    vehicles, users = (
        frame[frame["accident_id"].isin(ids)].reset_index(drop=True)
        for frame in (tables.vehicles, tables.users)
    )
    accidents, places = (frame[keep].reset_index(drop=True) for frame in (tables.accidents, tables.places))
    return Tables(accidents, places, vehicles, users)


def _validate(table: str, frame: pd.DataFrame) -> None:
    import pandera.errors

    try:
        schema(table).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        raise DataError(
            f"table {table}, column {first['column']}: {first['failure_case']!r} fails "
            f"{first['check']} ({len(error.failure_cases)} failures). "
            "Read the year again with accidents.data.reading."
        ) from error


def _is_valid(table: str, frame: pd.DataFrame) -> bool:
    """Whether a table is as its schema says, asked of least, largest and distinct values alone.

    A fraction of what pandera takes, which looks at every cell. Only a yes counts: of a no pandera tells what
    is wrong, or that nothing is.
    """
    dtypes = [pandas_dtype(dtype) for dtype in DTYPES[table].values()]
    if list(frame.columns) != list(DTYPES[table]) or list(frame.dtypes) != dtypes:
        return False
    if table in _ONE_ROW_EACH and not frame["accident_id"].is_unique:
        return False
    return all(_is_allowed(frame[name], _allowed(table, name)) for name in DTYPES[table])


def _is_allowed(values: pd.Series[Any], allowed: _Allowed) -> bool:
    """Whether all values that are there may stand in their column."""
    if allowed is None:
        return True
    if isinstance(allowed, list) and not _follow_one_another(allowed):
        there = values.unique()
        return set(allowed).issuperset(there[~pd.isna(there)])
    least, most = values.min(), values.max()
    return bool(pd.isna(least) or (min(allowed) <= least and most <= max(allowed)))


def _follow_one_another(codes: list[Any]) -> bool:
    """Whether codes are all whole numbers from one to another."""
    return isinstance(codes[0], int) and sorted(codes) == list(range(min(codes), max(codes) + 1))


@lru_cache(maxsize=len(TABLES))
def schema(table: str) -> pa.DataFrameSchema:
    """Return the pandera schema of a table: every column, its type, its codes or bounds.

    Nothing else allowed.
    """
    import pandera.pandas as pa  # costs a second, which a reader of tables need not pay

    def declare(name: str, dtype: str) -> pa.Column:
        return pa.Column(dtype, _checks(table, name), nullable=name != "accident_id")

    return pa.DataFrameSchema(
        {name: declare(name, dtype) for name, dtype in DTYPES[table].items()},
        strict=True,
        ordered=True,
        unique=["accident_id"] if table in _ONE_ROW_EACH else None,
        name=table,
    )


def _checks(table: str, name: str) -> list[pa.Check]:
    import pandera.pandas as pa

    allowed = _allowed(table, name)
    if allowed is None:
        return []
    return [pa.Check.isin(allowed) if isinstance(allowed, list) else pa.Check.in_range(*allowed)]


@cache
def _allowed(table: str, name: str) -> _Allowed:
    """Return the codes that may stand in a column, or its bounds; free text has neither."""
    if name in _BOUNDS:
        return _BOUNDS[name]
    declared = column(name, table)
    if declared.codes:
        codes = [code for code in declared.codes if code not in declared.missing]
        return codes if DTYPES[table][name] == "str" else [int(code) for code in codes]
    return declared.range
