"""Which accidents teach, which calibrate and which test.

By time, so that a figure says how the next year will go. The same street, junction and season recur, and so
does the same accident in several rows. A random split puts both on both sides and flatters the model; here
every part is later than the one before it, and an accident is in one part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

from accidents.errors import DataError, SettingsError
from accidents.strict import Strict
from accidents.vocabulary.months import month_name, month_number

TRAIN, CALIBRATION, TEST, LEFT_OUT = "train", "calibration", "test", "left_out"
PARTS = (TRAIN, CALIBRATION, TEST)
LABEL_BREAK = 2018  # the police record "hospitalised" differently from this year on (cautions in codes.yaml)

Parts = npt.NDArray[np.str_]


class SplitSettings(Strict):
    """How to split; shares are of accidents and only matter where whole years cannot be used."""

    method: Literal["time", "random"] = "time"
    test_year: int | None = None
    calibration_share: float = Field(default=0.15, gt=0, lt=0.5)
    test_share: float = Field(default=0.25, gt=0, lt=0.8)

    @model_validator(mode="after")
    def _leaves_something_to_learn_from(self) -> SplitSettings:
        if self.calibration_share + self.test_share >= 1:
            raise ValueError(
                f"calibration_share {self.calibration_share:g} and test_share {self.test_share:g} leave "
                "nothing to train on: together they must be below 1"
            )
        return self

    @model_validator(mode="after")
    def _has_a_test_year_by_time_only(self) -> SplitSettings:
        if self.method == "random" and self.test_year is not None:
            raise ValueError(
                f"test_year {self.test_year} means nothing where method is random: leave it out, or split by "
                "time"
            )
        return self


@dataclass(frozen=True)
class Split:
    """Where each row went.

    `parts` holds train, calibration, test or left_out, in the order of the rows given.
    """

    parts: Parts
    description: str
    method: str

    def mask(self, part: str) -> npt.NDArray[np.bool_]:
        """Mark the rows of `part` with True."""
        return np.asarray(self.parts == part)

    def rows(self, part: str) -> int:
        """How many rows `part` has."""
        return int(self.mask(part).sum())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the rows."""
        counts = {part: self.rows(part) for part in (*PARTS, LEFT_OUT)}
        return {"method": self.method, "description": self.description, "rows": counts}


def split(rows: pd.DataFrame, settings: SplitSettings, seed: int) -> Split:
    """Split `rows` as `settings` say; see `split_by_time` and `split_at_random`, which takes the seed."""
    if settings.method == "random":
        return split_at_random(rows, settings.calibration_share, settings.test_share, seed)
    return split_by_time(rows, settings.test_year, settings.calibration_share, settings.test_share)


def split_by_time(
    rows: pd.DataFrame,
    test_year: int | None = None,
    calibration_share: float = 0.15,
    test_share: float = 0.25,
) -> Split:
    """Train on earlier years, calibrate on the next, test on the last (or on `test_year`).

    Parameters
    ----------
    rows : accident_id, year, month and, if there, severe; rows whose `severe` is missing have no label and
        are left out. An accident with labelled rows in several months counts as of the first.
    test_year : the year to test on; later years are left out. Default: the last year with labels.
    calibration_share : share of the accidents that come before the test, taken from their last whole months,
        with two years; share of all accidents with one year.
    test_share : with one year only, the share of accidents in its last months.

    Raises
    ------
    SettingsError : `test_year` has no labelled accident, or none comes before it; the years there are, are
        named.
    DataError : no labelled accident, or too few months to cut one year into parts.
    """
    period, months = _periods(rows)
    cuts = cut_by_time(months, test_year, calibration_share, test_share)
    parts = np.full(len(rows), LEFT_OUT, dtype="<U11")
    for part, (first, end) in cuts.periods.items():
        parts[(period >= first) & (period < end)] = part
    return Split(parts, cuts.description, "time")


@dataclass(frozen=True)
class Months:
    """What a split by time looks at: how many accidents with a label each month has.

    Attributes
    ----------
    accidents : by month since year 0; only those with a label and a date.
    unlabelled, undated : rows that cannot be used.
    """

    accidents: Mapping[int, int]
    unlabelled: int = 0
    undated: int = 0

    def __add__(self, other: Months) -> Months:
        both = Counter(self.accidents) + Counter(other.accidents)
        return Months(both, self.unlabelled + other.unlabelled, self.undated + other.undated)


@dataclass(frozen=True)
class Cuts:
    """Where time is cut: the first month of each part (since year 0), and the one after its last."""

    periods: Mapping[str, tuple[int, int]]
    description: str


def cut_by_time(
    months: Months, test_year: int | None = None, calibration_share: float = 0.15, test_share: float = 0.25
) -> Cuts:
    """Decide where to cut, as `split_by_time` tells, whoever has counted the months."""
    if not months.accidents:
        raise DataError(
            "no accident has both a label and a date, so nothing can be trained or tested; "
            "add a year whose usagers file (the injuries) is there."
        )
    years = sorted({month // 12 for month in months.accidents})
    tested = _tested_year(years, test_year)
    before = [year for year in years if year < tested]
    if len(before) >= 2:
        first_calibration, first_test = before[-1] * 12, tested * 12
    elif before:
        first_test = tested * 12
        (first_calibration,) = _month_cuts(months, before[0], [1 - calibration_share])
    else:
        cuts = [1 - test_share - calibration_share, 1 - test_share]
        first_calibration, first_test = _month_cuts(months, tested, cuts)
    periods = {
        TRAIN: (0, first_calibration),
        CALIBRATION: (first_calibration, first_test),
        TEST: (first_test, (tested + 1) * 12),
    }
    return Cuts(periods, _describe(periods, months, years, tested))


def split_at_random(
    rows: pd.DataFrame, calibration_share: float = 0.15, test_share: float = 0.25, seed: int = 7
) -> Split:
    """Split accidents at random: only to reproduce others' figures, never to report ours.

    Raises `DataError` if fewer than three accidents have a label.
    """
    labelled = _labelled(rows)
    accidents, position = np.unique(rows["accident_id"].to_numpy(), return_inverse=True)
    if len(np.unique(position[labelled])) < len(PARTS):
        raise DataError(
            f"only {int(labelled.sum())} labelled rows: too few to split into {', '.join(PARTS)}."
        )
    rank = np.empty(len(accidents))
    known = np.unique(position[labelled])
    rank[known] = (np.random.default_rng(seed).permutation(len(known)) + 0.5) / len(known)
    edges = [1 - test_share - calibration_share, 1 - test_share]
    parts = np.array(PARTS)[np.searchsorted(edges, rank[position])].astype("<U11")
    parts[~labelled] = LEFT_OUT
    text = (
        f"Random split by accident (seed {seed}): {_counts(parts)}. The test accidents are "
        "of the same months as the training accidents, so they flatter: only to reproduce others' figures."
    )
    return Split(parts, text, "random")


def months_of(rows: pd.DataFrame) -> Months:
    """Count the months of `rows`; all rows of an accident must be among them."""
    return _periods(rows)[1]


def periods_of(rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Months since year 0 of each row's accident, int64 [n]; -1 where the row cannot be used."""
    return _periods(rows)[0]


def _periods(rows: pd.DataFrame) -> tuple[npt.NDArray[np.int64], Months]:
    """Return the period of each row, as `periods_of` does, and how many have each."""
    labelled = _labelled(rows)
    dated = rows["year"].notna() & rows["month"].notna()
    months = month_number(rows["year"].astype("Int64"), rows["month"].astype("Int64")).astype("Int64")
    first = months.where(labelled).groupby(rows["accident_id"]).transform("min").fillna(-1).to_numpy(np.int64)
    period = np.where(labelled & dated.to_numpy(bool), first, -1)
    there, accidents = np.unique(period[period >= 0], return_counts=True)
    unlabelled, undated = int((~labelled).sum()), int((labelled & ~dated.to_numpy(bool)).sum())
    counted = dict(zip(there.tolist(), accidents.tolist(), strict=True))
    return period, Months(counted, unlabelled, undated)


def _labelled(rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    if "severe" not in rows:
        return np.ones(len(rows), dtype=bool)
    return rows["severe"].notna().to_numpy(bool)


def _tested_year(years: Sequence[int], wanted: int | None) -> int:
    if wanted is None:
        return years[-1]
    there = ", ".join(map(str, years))
    if wanted not in years:
        nearest = min(years, key=lambda year: abs(year - wanted))
        raise SettingsError(
            f"split.test_year: {wanted} has no labelled accident. "
            f"Labelled years: {there}; nearest: {nearest}."
        )
    if wanted == years[0] and len(years) > 1:
        raise SettingsError(
            f"split.test_year: nothing comes before {wanted} to train on. Labelled years: {there}; "
            f"test on {years[1]} or later, or add an earlier year."
        )
    return wanted


def _month_cuts(counted: Months, year: int, shares: Sequence[float]) -> list[int]:
    """First month (as a period) after each cumulated share of the year's accidents.

    Each part has a month at least.
    """
    months = sorted(month for month in counted.accidents if month // 12 == year)
    counts = np.array([counted.accidents[month] for month in months])
    if len(months) <= len(shares):
        raise DataError(
            f"{year} has accidents in {len(months)} month(s) only, and {len(shares) + 1} are needed to "
            "split it by time; use the whole year or add another."
        )
    reached = np.cumsum(counts)[:-1] / counts.sum()
    cuts: list[int] = []
    for done, share in enumerate(shares):
        room = slice(len(cuts) and cuts[-1] + 1, len(reached) - (len(shares) - done - 1))
        cuts.append(room.start + int(np.argmin(np.abs(reached[room] - share))))
    return [int(months[cut + 1]) for cut in cuts]


def _describe(
    periods: Mapping[str, tuple[int, int]], months: Months, years: Sequence[int], tested: int
) -> str:
    spans = []
    for part, (first, end) in periods.items():
        there = {month: count for month, count in months.accidents.items() if first <= month < end}
        spans.append(f"{part} {_span(there)} ({sum(there.values()):,} accidents)")
    text = f"Split by time: {', '.join(spans)}."
    notes = []
    if months.unlabelled:
        notes.append(f"{months.unlabelled:,} rows without a label left out")
    if months.undated:
        notes.append(f"{months.undated:,} rows without a year or month left out")
    used = [year for year in years if year <= tested]
    gaps = [f"{a + 1}" if b - a == 2 else f"{a + 1}-{b - 1}" for a, b in pairwise(used) if b - a > 1]
    if gaps:
        notes.append(f"no data between the years used for {', '.join(gaps)}")
    if later := [str(year) for year in years if year > tested]:
        notes.append(f"{', '.join(later)} left out, being later than the test year {tested}")
    if used[0] < LABEL_BREAK <= tested:
        notes.append(
            f"'hospitalised' was recorded differently before {LABEL_BREAK}, so the label changes on the way"
        )
    return " ".join([text, *(f"{note[0].upper()}{note[1:]}." for note in notes)])


def _span(months: Collection[int]) -> str:
    first, last = min(months), max(months)
    whole_years = first % 12 == 0 and last % 12 == 11
    names = [str(p // 12) if whole_years else month_name(p) for p in (first, last)]
    return names[0] if names[0] == names[1] else f"{names[0]} to {names[1]}"


def _counts(parts: Parts) -> str:
    return ", ".join(f"{part} {int((parts == part).sum()):,}" for part in PARTS)
