"""What is known when: an accident at once, how it ended only when the files of its year are published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

MONTHS = 12
# The month of the year after in which ONISR put a year's files on data.gouv.fr: the addresses of the files
# hold the day (.../20241023-153328/usagers-2023.csv). For other years the usual month is an assumption; those
# of before open data were put there later, several at once.
PUBLISHED: Mapping[int, int] = {2018: 10, 2019: 11, 2020: 11, 2021: 10, 2022: 10, 2023: 10, 2024: 10}
USUALLY_PUBLISHED = 10


class Month(NamedTuple):
    """A month of the calendar; "2018-03" as text."""

    year: int
    month: int

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    @property
    def next(self) -> Month:
        """The month after it."""
        return Month(self.year + self.month // MONTHS, self.month % MONTHS + 1)

    @property
    def end(self) -> datetime:
        """When it is over."""
        return datetime(self.next.year, self.next.month, 1, tzinfo=UTC)


def published_in(year: int) -> Month:
    """When it becomes known how the accidents of a year ended."""
    return Month(year + 1, PUBLISHED.get(year, USUALLY_PUBLISHED))


class Arrivals:
    """Past accidents as if they arrived. Labels leave it through `published` only, so none is seen too early.

    Parameters
    ----------
    rows : as `build_features` gives them; years without labels never get any.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows
        self._place = rows.groupby(["year", "month"]).indices

    def months(self) -> Iterator[Month]:
        """Every month from the first accident's year to the last one's."""
        first, last = int(self._rows["year"].min()), int(self._rows["year"].max())
        return (Month(year, month) for year in range(first, last + 1) for month in range(1, MONTHS + 1))

    def of_month(self, month: Month) -> pd.DataFrame:
        """Its accidents as they were known at the call, without labels."""
        place = self._place.get(tuple(month), np.empty(0, dtype=np.intp))
        return self._rows.iloc[place].assign(severe=np.float32(np.nan))

    def published(self, now: Month) -> pd.DataFrame:
        """Return the accidents of all years whose labels are out, in whole years, by the end of a month."""
        return self._rows[self._rows["year"].isin(self.years(now))]

    def years(self, now: Month) -> list[int]:
        """Years that are published, and have labels in every month, by the end of a month."""
        return [year for year in self._labelled_years if published_in(year) <= now]

    def coming_in(self, now: Month) -> list[int]:
        """Years whose labels come in in this month."""
        return [year for year in self._labelled_years if published_in(year) == now]

    @cached_property
    def _labelled_years(self) -> list[int]:
        labelled = self._rows[self._rows["severe"].notna()]
        months = labelled.groupby("year")["month"].nunique()
        return [int(year) for year in months[months == MONTHS].index]
