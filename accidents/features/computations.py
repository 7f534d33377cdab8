"""The ways a feature can be computed, each written once for a whole year and once for a single accident.

A computation has `sources` (the table columns it reads), `of_year` (vectorised: one value per accident)
and `of_one` (pure Python: one accident as a plain mapping). Both give NaN for "not known". The two are
held together by a property test; nothing else in the project computes a feature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from accidents.tables import Tables

Floats = npt.NDArray[np.float32]
Accident = Mapping[str, Any]
NAN = math.nan
# Codes are small and non-negative; a look-up table this long turns a set of codes into one array access.
_CODES = 256


class Computation(Protocol):
    """What every way of computing a feature offers."""

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """(table, column) pairs that are read."""

    def of_year(self, year: YearView) -> Floats:
        """One value per accident, float32 [accidents]."""

    def of_one(self, accident: Accident) -> float:
        """The value for one accident given as a plain mapping."""


class GroupedRows:
    """Rows of `vehicles` or `users`, brought into the order of the accidents and cut into one run each."""

    def __init__(self, frame: pd.DataFrame, accident_ids: npt.NDArray[np.int64]) -> None:
        self._frame, self._accidents = frame, len(accident_ids)
        place, self._kept = _positions(frame["accident_id"].to_numpy(dtype=np.int64), accident_ids)
        self._order = None if (place[1:] >= place[:-1]).all() else np.argsort(place, kind="stable")
        place = place if self._order is None else place[self._order]
        first = np.concatenate(([True], place[1:] != place[:-1])) if len(place) else np.zeros(0, dtype=bool)
        self.starts = np.flatnonzero(first)
        self.accident = place[self.starts]
        self._columns: dict[str, Floats] = {}

    def column(self, name: str) -> Floats:
        """A column as float32 with NaN, in grouped order, float32 [rows]."""
        if name not in self._columns:
            values = as_floats(self._frame[name])
            values = values if self._kept is None else values[self._kept]
            self._columns[name] = values if self._order is None else values[self._order]
        return self._columns[name]

    def sum(self, values: npt.NDArray[Any]) -> Floats:
        """Sum per accident; NaN for an accident without rows, float32 [accidents]."""
        return self._spread(np.add, values)

    def extreme(self, values: Floats, largest: bool) -> Floats:
        """Largest (or smallest) known value per accident, NaN where none is known, float32 [accidents]."""
        return self._spread(np.fmax if largest else np.fmin, values)

    def repeat(self, per_accident: Floats) -> Floats:
        """A value per accident repeated for each of its rows, float32 [rows]."""
        lengths = np.diff(np.append(self.starts, self._rows))
        return np.repeat(per_accident[self.accident], lengths)

    @property
    def _rows(self) -> int:
        return len(self._frame) if self._kept is None else int(self._kept.sum())

    def _spread(self, function: np.ufunc, values: npt.NDArray[Any]) -> Floats:
        result = np.full(self._accidents, np.nan, dtype=np.float32)
        if len(self.starts):
            result[self.accident] = function.reduceat(values, self.starts)
        return result


class YearView:
    """The four tables as float32 arrays, converted once and shared by all features."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.accident_ids = tables.accidents["accident_id"].to_numpy(dtype=np.int64)
        self._columns: dict[tuple[str, str], Floats] = {}

    def __len__(self) -> int:
        return len(self.accident_ids)

    def column(self, table: str, name: str) -> Floats:
        """A column of `accidents` or `places`, one value per accident, float32 [accidents]."""
        if (table, name) not in self._columns:
            self._columns[table, name] = as_floats(self.raw(table, name))
        return self._columns[table, name]

    def raw(self, table: str, name: str) -> pd.Series[Any]:
        """A column as it stands in the table, in the order of the accidents."""
        series = getattr(self._tables, table)[name]
        if table == "accidents" or self._places_aligned:
            return series
        return series.reindex(self._place_rows)  # -1 is no index label: an accident without a place is missing

    def rows(self, table: str) -> GroupedRows:
        """The rows of `vehicles` or `users`, grouped by accident."""
        return self._vehicles if table == "vehicles" else self._users

    @cached_property
    def _vehicles(self) -> GroupedRows:
        return GroupedRows(self._tables.vehicles, self.accident_ids)

    @cached_property
    def _users(self) -> GroupedRows:
        return GroupedRows(self._tables.users, self.accident_ids)

    @cached_property
    def _places_aligned(self) -> bool:
        return np.array_equal(self._tables.places["accident_id"].to_numpy(dtype=np.int64), self.accident_ids)

    @cached_property
    def _place_rows(self) -> npt.NDArray[np.intp]:
        import pandas as pd

        index = pd.Index(self._tables.places["accident_id"].to_numpy(dtype=np.int64))
        return index.get_indexer(pd.Index(self.accident_ids))


def as_floats(series: pd.Series[Any]) -> Floats:
    """A numeric column, nullable or not, as float32 with NaN for missing."""
    return series.to_numpy(dtype=np.float32, na_value=np.nan)


def _positions(
    ids: npt.NDArray[np.int64], accident_ids: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_] | None]:
    """Row number in `accident_ids` of each id, and which ids were found (None when all)."""
    if len(accident_ids) == 0:
        return np.zeros(0, dtype=np.intp), np.zeros(len(ids), dtype=bool)
    order = None if (accident_ids[1:] > accident_ids[:-1]).all() else np.argsort(accident_ids, kind="stable")
    by_id = accident_ids if order is None else accident_ids[order]
    place = np.minimum(np.searchsorted(by_id, ids), len(by_id) - 1)
    found = by_id[place] == ids
    place = place if order is None else order[place]
    return (place, None) if found.all() else (place[found], found)


def _number(value: Any) -> float:
    """A value of a plain mapping as a float; None, NaN and missing markers of pandas are NaN."""
    try:
        return NAN if value is None else float(value)
    except (TypeError, ValueError):
        return NAN


def _known(rows: Iterable[Mapping[str, Any]], column: str) -> list[float]:
    """The values of a column that are known, in row order."""
    return [v for v in (_number(row.get(column)) for row in rows) if v == v]


def _lookup(codes: frozenset[int]) -> npt.NDArray[np.bool_]:
    table = np.zeros(_CODES + 1, dtype=bool)  # the last entry stands for "missing"
    table[list(codes)] = True
    return table


def _as_codes(values: Floats) -> npt.NDArray[np.intp]:
    return np.where(np.isnan(values), _CODES, values).astype(np.intp)


@dataclass(frozen=True)
class Value:
    """A numeric column of `accidents` or `places` as it stands."""

    table: str
    column: str

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        return ((self.table, self.column),)

    def of_year(self, year: YearView) -> Floats:
        return year.column(self.table, self.column)

    def of_one(self, accident: Accident) -> float:
        return _number(accident.get(self.column))


@dataclass(frozen=True)
class Parsed:
    """A text column turned into a number by `parse`, which sees each distinct text once."""

    table: str
    column: str
    parse: Callable[[str], float]

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        return ((self.table, self.column),)

    def of_year(self, year: YearView) -> Floats:
        codes, texts = year.raw(self.table, self.column).factorize()
        numbers = np.array([*(self.parse(str(t)) for t in texts), np.nan], dtype=np.float32)
        return numbers[codes]  # a missing text has code -1: the NaN at the end

    def of_one(self, accident: Accident) -> float:
        text = accident.get(self.column)
        return self.parse(text) if isinstance(text, str) else NAN


@dataclass(frozen=True)
class Weekday:
    """Day of the week, 0 Monday to 6 Sunday; not known where the day of the month is not published."""

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        return (("accidents", "year"), ("accidents", "month"), ("accidents", "day"))

    def of_year(self, year: YearView) -> Floats:
        y, m, d = (year.column("accidents", c).astype(np.float64) for c in ("year", "month", "day"))
        known = (y >= 1) & (m >= 1) & (m <= 12) & (d >= 1) & (d <= 31)
        result = np.full(len(year), np.nan, dtype=np.float32)
        months = (y[known] - 1970) * 12 + m[known] - 1
        start = months.astype("int64").astype("datetime64[M]")
        days = start.astype("datetime64[D]") + (d[known] - 1).astype("int64")
        weekday = ((days.astype("int64") + 3) % 7).astype(np.float32)  # 1970-01-01 was a Thursday
        result[known] = np.where(days.astype("datetime64[M]") == start, weekday, np.nan)
        return result

    def of_one(self, accident: Accident) -> float:
        y, m, d = (_number(accident.get(c)) for c in ("year", "month", "day"))
        try:
            return float(date(int(y), int(m), int(d)).weekday())
        except (ValueError, OverflowError):  # NaN, or a day the month does not have
            return NAN


@dataclass(frozen=True)
class Rows:
    """How many vehicles (or users) the accident has; NaN when none is known."""

    table: str

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        return ((self.table, "accident_id"),)

    def of_year(self, year: YearView) -> Floats:
        rows = year.rows(self.table)
        return rows.sum(np.ones_like(rows.column("accident_id")))

    def of_one(self, accident: Accident) -> float:
        return float(len(accident.get(self.table) or ())) or NAN


@dataclass(frozen=True)
class Count:
    """How many vehicles (or users) have one of `codes`; NaN when the column is known for none of them."""

    table: str
    column: str
    codes: frozenset[int]
    _table: npt.NDArray[np.bool_] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_table", _lookup(self.codes))

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        return ((self.table, self.column),)

    def of_year(self, year: YearView) -> Floats:
        rows = year.rows(self.table)
        values = rows.column(self.column)
        count = rows.sum(self._table[_as_codes(values)].astype(np.float32))
        return np.where(np.isnan(rows.extreme(values, largest=True)), np.float32(np.nan), count)

    def of_one(self, accident: Accident) -> float:
        known = _known(accident.get(self.table) or (), self.column)
        return float(sum(v in self.codes for v in known)) if known else NAN


@dataclass(frozen=True)
class AnyOf:
    """1 if any of the counts is above 0, 0 if none is, NaN when none of them is known."""

    counts: tuple[Count, ...]

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        return tuple(source for count in self.counts for source in count.sources)

    def of_year(self, year: YearView) -> Floats:
        most = self.counts[0].of_year(year)
        for count in self.counts[1:]:
            most = np.fmax(most, count.of_year(year))
        return np.minimum(most, np.float32(1))

    def of_one(self, accident: Accident) -> float:
        known = [v for v in (count.of_one(accident) for count in self.counts) if v == v]
        return float(max(known) > 0) if known else NAN


@dataclass(frozen=True)
class Extreme:
    """Largest (or smallest) rank among the vehicles (or users) whose code has a rank."""

    table: str
    column: str
    ranks: Mapping[int, float]
    largest: bool

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        return ((self.table, self.column),)

    def of_year(self, year: YearView) -> Floats:
        rows = year.rows(self.table)
        table = np.full(_CODES + 1, np.nan, dtype=np.float32)
        table[list(self.ranks)] = list(self.ranks.values())
        return rows.extreme(table[_as_codes(rows.column(self.column))], self.largest)

    def of_one(self, accident: Accident) -> float:
        known = [self.ranks[int(v)] for v in _known(accident.get(self.table) or (), self.column) if v in self.ranks]
        return (max(known) if self.largest else min(known)) if known else NAN


@dataclass(frozen=True)
class Age:
    """Age in years of the oldest (or youngest) user, over all users or those with one of `roles`."""

    largest: bool
    roles: frozenset[int] | None = None

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        role = (("users", "role"),) if self.roles else ()
        return (("accidents", "year"), ("users", "birth_year"), *role)

    def of_year(self, year: YearView) -> Floats:
        rows = year.rows("users")
        age = rows.repeat(year.column("accidents", "year")) - rows.column("birth_year")
        age = np.where((age >= 0) & (age <= 110), age, np.float32(np.nan))
        if self.roles is not None:
            age = np.where(_lookup(self.roles)[_as_codes(rows.column("role"))], age, np.float32(np.nan))
        return rows.extreme(age, self.largest)

    def of_one(self, accident: Accident) -> float:
        year = _number(accident.get("year"))
        users = accident.get("users") or ()
        chosen = [u for u in users if self.roles is None or _number(u.get("role")) in self.roles]
        ages = [a for a in (year - _number(u.get("birth_year")) for u in chosen) if 0 <= a <= 110]
        return (max(ages) if self.largest else min(ages)) if ages else NAN
