"""A year's tables as arrays: every column converted once, vehicles and users grouped by accident."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from accidents.data.tables import Tables

Floats = npt.NDArray[np.float32]
# Codes are small and not negative: a look-up table this long, and one entry for "missing", serves them all.
NO_CODE = 256


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
        self._codes: dict[str, npt.NDArray[np.intp]] = {}
        self._unknown: dict[str, npt.NDArray[np.bool_]] = {}

    def column(self, name: str) -> Floats:
        """Return a column as float32 with NaN, in grouped order, float32 [rows]."""
        if name not in self._columns:
            values = as_floats(self._frame[name])
            values = values if self._kept is None else values[self._kept]
            self._columns[name] = values if self._order is None else values[self._order]
        return self._columns[name]

    def codes(self, name: str) -> npt.NDArray[np.intp]:
        """Return codes of a column as indices of a look-up table, NO_CODE where none is, intp [rows]."""
        if name not in self._codes:
            values = self.column(name)
            known = (values >= 0) & (values < NO_CODE)  # false for NaN
            self._codes[name] = np.where(known, values, NO_CODE).astype(np.intp)
        return self._codes[name]

    def unknown(self, name: str) -> npt.NDArray[np.bool_]:
        """Accidents for which no row has a value in a column, bool [accidents]."""
        if name not in self._unknown:
            self._unknown[name] = np.isnan(self.extreme(self.column(name), largest=True))
        return self._unknown[name]

    def sum(self, values: npt.NDArray[Any]) -> Floats:
        """Sum per accident; NaN for an accident without rows, float32 [accidents]."""
        return self._spread(np.add, values)

    def extreme(self, values: Floats, largest: bool) -> Floats:
        """Largest (or smallest) known value per accident, NaN where none is known, float32 [accidents]."""
        return self._spread(np.fmax if largest else np.fmin, values)

    def repeat(self, per_accident: Floats) -> Floats:
        """Return a value per accident repeated for each of its rows, float32 [rows]."""
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
        """Return a column of `accidents` or `places`, one value per accident, float32 [accidents]."""
        if (table, name) not in self._columns:
            self._columns[table, name] = as_floats(self.raw(table, name))
        return self._columns[table, name]

    def raw(self, table: str, name: str) -> pd.Series[Any]:
        """Return a column as it stands in the table, in the order of the accidents."""
        series: pd.Series[Any] = getattr(self._tables, table)[name]
        if table == "accidents" or self._places_aligned:
            return series
        # -1 is no index label: an accident without a place comes out missing
        placed: pd.Series[Any] = series.reset_index(drop=True).reindex(self._place_rows)
        return placed

    def rows(self, table: str) -> GroupedRows:
        """Return the rows of `vehicles` or `users`, grouped by accident."""
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
        rows: npt.NDArray[np.intp] = index.get_indexer(pd.Index(self.accident_ids))
        return rows


def as_floats(series: pd.Series[Any]) -> Floats:
    """Return a numeric column, nullable or not, as float32 with NaN for missing."""
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
    is_there = by_id[place] == ids
    place = place if order is None else order[place]
    return (place, None) if is_there.all() else (place[is_there], is_there)
