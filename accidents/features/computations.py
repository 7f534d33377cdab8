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
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from accidents.features.year_view import NO_CODE, Floats, YearView

Accident = Mapping[str, Any]
NAN = math.nan


class Computation(Protocol):
    """What every way of computing a feature offers."""

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """(table, column) pairs that are read."""

    def of_year(self, year: YearView) -> Floats:
        """One value per accident, float32 [accidents]."""

    def of_one(self, accident: Accident) -> float:
        """Return the value for one accident given as a plain mapping."""


def _number(value: Any) -> float:
    """Return a value of a plain mapping as a float; None, NaN and missing markers of pandas are NaN."""
    try:
        return NAN if value is None else float(value)
    except (TypeError, ValueError):
        return NAN


def _known(rows: Iterable[Mapping[str, Any]], column: str) -> list[float]:
    """Return the values of a column that are known, in row order."""
    return [v for v in (_number(row.get(column)) for row in rows) if v == v]


def _lookup(codes: frozenset[int]) -> npt.NDArray[np.bool_]:
    table = np.zeros(NO_CODE + 1, dtype=bool)  # the last entry stands for "missing"
    table[list(codes)] = True
    return table


def _ranks(ranks: Mapping[int, float]) -> Floats:
    table = np.full(NO_CODE + 1, np.nan, dtype=np.float32)
    table[list(ranks)] = list(ranks.values())
    return table


def _code(value: Any) -> int:
    """Return a value of a plain mapping as a code; -1 when not known."""
    number = _number(value)
    return int(number) if number == number else -1


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
        parsed: Floats = numbers[codes]  # a missing text has code -1: the NaN at the end
        return parsed

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
        count = rows.sum(self._table[rows.codes(self.column)].astype(np.float32))
        count[rows.unknown(self.column)] = np.nan
        return count

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
        return rows.extreme(_ranks(self.ranks)[rows.codes(self.column)], self.largest)

    def of_one(self, accident: Accident) -> float:
        codes = _known(accident.get(self.table) or (), self.column)
        known = [self.ranks[int(code)] for code in codes if code in self.ranks]
        return (max(known) if self.largest else min(known)) if known else NAN


@dataclass(frozen=True)
class OfExtreme:
    """Highest known code of `column` among the vehicles of largest (or smallest) rank."""

    table: str
    column: str
    ranked: str
    ranks: Mapping[int, float]
    largest: bool

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        return ((self.table, self.column), (self.table, self.ranked))

    def of_year(self, year: YearView) -> Floats:
        rows = year.rows(self.table)
        rank = _ranks(self.ranks)[rows.codes(self.ranked)]
        chosen = rank == rows.repeat(rows.extreme(rank, self.largest))
        return rows.extreme(np.where(chosen, rows.column(self.column), np.float32(np.nan)), largest=True)

    def of_one(self, accident: Accident) -> float:
        ranked = [
            (self.ranks.get(_code(row.get(self.ranked))), row) for row in accident.get(self.table) or ()
        ]
        known = [(rank, row) for rank, row in ranked if rank is not None]
        if not known:
            return NAN
        extreme = (max if self.largest else min)(rank for rank, _ in known)
        return max(_known((row for rank, row in known if rank == extreme), self.column), default=NAN)


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
            age = np.where(_lookup(self.roles)[rows.codes("role")], age, np.float32(np.nan))
        return rows.extreme(age, self.largest)

    def of_one(self, accident: Accident) -> float:
        year = _number(accident.get("year"))
        users = accident.get("users") or ()
        chosen = [u for u in users if self.roles is None or _number(u.get("role")) in self.roles]
        ages = [a for a in (year - _number(u.get("birth_year")) for u in chosen) if 0 <= a <= 110]
        return (max(ages) if self.largest else min(ages)) if ages else NAN
