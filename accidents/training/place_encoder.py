"""What the training years tell about a place: how many accidents happened around it and how severe they were.

Accidents are counted on a fine grid; Gaussian blurs of the counts at several bandwidths give the density and
the severity of a neighbourhood. Each scale is shrunk towards the next coarser one, so that a lone accident in
the country says little and a thousand in a city say much. Département and commune, where they are published,
are counted by name in the same way. Only counts are kept: the blurs are rebuilt on loading, with numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import numpy.typing as npt

from accidents.errors import BundleError
from accidents.geography.boxes import GRIDDED

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Folds = npt.NDArray[np.int8]

_CELL_KM = 0.5
_KM_PER_DEGREE = 111.2
# (bandwidth in km, side of a cell in fine cells): a cell is half the bandwidth, except the finest.
_LEVELS = ((1.0, 2), (3.0, 3), (10.0, 10), (30.0, 30))
_COARSEST = 30
_PRIOR = 20.0  # accidents of the coarser scale that a scale's own count is weighed against
NAMED = ("department", "commune")  # from coarse to fine; the trees see their rates, never their numbers
PLACE = ("latitude", "longitude", *NAMED)
FOLDS = 5  # of cross-fitting
STRETCH = 500_000  # rows that are counted at once: sorting them takes some 100 bytes each


@dataclass(frozen=True)
class Area:
    """A box of the Earth with a grid of its own (degrees WGS84)."""

    south: float
    north: float
    west: float
    east: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (south to north) and columns (west to east) of fine cells, multiples of the coarsest cell."""
        height, width = (
            (self.north - self.south) * self.rows_a_degree,
            (self.east - self.west) * self.columns_a_degree,
        )
        return math.ceil(height / _COARSEST) * _COARSEST, math.ceil(width / _COARSEST) * _COARSEST

    @property
    def rows_a_degree(self) -> float:
        """Rows of the grid in one degree of latitude."""
        return _KM_PER_DEGREE / _CELL_KM

    @property
    def columns_a_degree(self) -> float:
        """On the parallel halfway up the box."""
        return self.rows_a_degree * math.cos(math.radians((self.south + self.north) / 2))


AREAS = tuple(Area(*box) for box in GRIDDED)
_SHAPES = tuple(area.shape for area in AREAS)
_STARTS = tuple(int(n) for n in np.cumsum([0, *(rows * columns for rows, columns in _SHAPES)]))


def fine_cells(latitude: Floats, longitude: Floats) -> Integers:
    """Return the fine cell of each place, int64 [n]; -1 where it is not known or in no area."""
    cell = np.full(len(latitude), -1, dtype=np.int64)
    north, east = latitude.astype(np.float64), longitude.astype(np.float64)
    for area, (_, columns), start in zip(AREAS, _SHAPES, _STARTS, strict=False):
        at = (north >= area.south) & (north < area.north) & (east >= area.west) & (east < area.east)
        row = ((north[at] - area.south) * area.rows_a_degree).astype(np.int64)
        column = ((east[at] - area.west) * area.columns_a_degree).astype(np.int64)
        cell[at] = start + row * columns + column
    return cell


def fine_cell(latitude: float, longitude: float) -> int:
    """`fine_cells` for one place, without arrays."""
    for area, (_, columns), start in zip(AREAS, _SHAPES, _STARTS, strict=False):
        if area.south <= latitude < area.north and area.west <= longitude < area.east:
            row = int((latitude - area.south) * area.rows_a_degree)
            return start + row * columns + int((longitude - area.west) * area.columns_a_degree)
    return -1


def blur(grid: Floats, sigma: float) -> Floats:
    """Sum of the neighbouring cells weighted by a Gaussian of peak 1; `sigma` in cells; same shape."""
    radius = int(3 * sigma + 0.5)
    for axis in (0, 1):
        padded = np.pad(grid, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)])
        total = np.zeros_like(grid)
        for k in range(2 * radius + 1):
            shifted = padded[k : k + grid.shape[0]] if axis == 0 else padded[:, k : k + grid.shape[1]]
            total += np.float32(math.exp(-0.5 * ((k - radius) / sigma) ** 2)) * shifted
        grid = total
    return grid


class _Level:
    """Blurred counts of one bandwidth over all areas, and where a fine cell lies in them."""

    def __init__(
        self, km: float, factor: int, cell: Integers, accidents: Doubles, severe: Doubles, scale: float
    ):
        self._factor = factor
        self._starts = [0]
        counts: list[Floats] = []
        severes: list[Floats] = []
        for (rows, columns), start in zip(_SHAPES, _STARTS, strict=False):
            shape = (rows // factor, columns // factor)
            here = slice(*np.searchsorted(cell, [start, start + rows * columns]))
            row, column = np.divmod(cell[here] - start, columns)
            at = row // factor * shape[1] + column // factor
            for weights, into in ((accidents[here], counts), (severe[here], severes)):
                grid = np.bincount(at, weights=weights, minlength=shape[0] * shape[1]).astype(np.float32)
                into.append(blur(grid.reshape(shape), km / (factor * _CELL_KM)).ravel() if len(at) else grid)
            self._starts.append(self._starts[-1] + shape[0] * shape[1])
        self.accidents, self.severe = np.concatenate(counts), np.concatenate(severes)
        self.density = np.log1p(self.accidents * np.float32(scale))

    def of_cells(self, cell: Integers) -> Integers:
        """Index of each fine cell in this level's arrays, int64 [n]."""
        area = np.searchsorted(_STARTS, cell, side="right") - 1
        columns = np.array([shape[1] for shape in _SHAPES])[area]
        row, column = np.divmod(cell - np.array(_STARTS)[area], columns)
        coarse: Integers = row // self._factor * (columns // self._factor) + column // self._factor
        return np.array(self._starts)[area] + coarse

    def of_cell(self, cell: int, area: int) -> int:
        """Return the same for one fine cell of an area."""
        columns = _SHAPES[area][1]
        row, column = divmod(cell - _STARTS[area], columns)
        return self._starts[area] + row // self._factor * (columns // self._factor) + column // self._factor


@dataclass(frozen=True)
class PlaceCounts:
    """How many accidents, and how many severe ones, happened where. `a + b` counts both, in any order.

    Attributes
    ----------
    tables : by key ("cell", "department", "commune"): float64 [k, 3] of key, accidents, severe ones;
        keys ascending.
    accidents, severe : of all, wherever they happened.
    """

    tables: dict[str, Doubles]
    accidents: int
    severe: int

    @classmethod
    def of(cls, place: Floats, severe: Floats) -> PlaceCounts:
        """Count accidents: float32 [n, 4] with the columns `PLACE`, and labels float32 [n]."""
        ends = range(STRETCH, max(len(severe), 1) + STRETCH, STRETCH)
        stretches = (slice(end - STRETCH, end) for end in ends)
        return reduce(cls.__add__, (cls._of_stretch(place[at], severe[at]) for at in stretches))

    @classmethod
    def _of_stretch(cls, place: Floats, severe: Floats) -> PlaceCounts:
        keys = {"cell": fine_cells(place[:, 0], place[:, 1]).astype(np.float64)}
        keys["cell"][keys["cell"] < 0] = np.nan
        keys.update({name: place[:, 2 + k].astype(np.float64) for k, name in enumerate(NAMED)})
        tables = {name: _count(key, severe) for name, key in keys.items()}
        return cls(tables, len(severe), int(severe.sum(dtype=np.float64)))

    def __add__(self, other: PlaceCounts) -> PlaceCounts:
        tables = {name: _summed(self.tables[name], other.tables[name]) for name in self.tables}
        return PlaceCounts(tables, self.accidents + other.accidents, self.severe + other.severe)

    @property
    def rate(self) -> float:
        """Share of severe accidents, to the bits of a mean of float32 labels."""
        return float(np.float32(self.severe) / np.float32(self.accidents)) if self.accidents else math.nan


class PlaceEncoder:
    """Counts of training accidents by place, and what they say of any place.

    Parameters
    ----------
    counts : by key ("cell", "department", "commune"): float64 [k, 3] of key, accidents, severe ones;
        keys ascending.
    rate : share of severe accidents over all.
    scale : densities are told as if there were this many times the accidents counted.
    """

    columns: tuple[str, ...] = (
        *(f"{what}_{km:g}km" for km, _ in reversed(_LEVELS) for what in ("density", "severity")),
        *(f"severity_{name}" for name in NAMED),
    )

    def __init__(self, counts: dict[str, Doubles], rate: float, scale: float = 1.0) -> None:
        self.counts, self.rate = counts, rate
        cell, accidents, severe = counts["cell"].T
        self._levels = [
            _Level(km, factor, cell.astype(np.int64), accidents, severe, scale)
            for km, factor in reversed(_LEVELS)
        ]
        self._named = [{int(k): (n, s) for k, n, s in counts[name].tolist()} for name in NAMED]

    @classmethod
    def fit(cls, place: Floats, severe: Floats, scale: float = 1.0) -> PlaceEncoder:
        """Count the training accidents, as `PlaceCounts.of` does."""
        return cls.of_counts(PlaceCounts.of(place, severe), scale)

    @classmethod
    def of_counts(cls, counts: PlaceCounts, scale: float = 1.0) -> PlaceEncoder:
        """Return what counts say, however many parts they were added up from."""
        return cls(counts.tables, counts.rate, scale)

    def transform(self, place: Floats) -> Floats:
        """Return the columns of each place, float32 [n, len(columns)]; NaN where the place is not known."""
        if len(place) == 1:
            return np.array([self.transform_one(place[0].tolist())], dtype=np.float32)
        out = np.full((len(place), len(self.columns)), np.nan, dtype=np.float32)
        cell = fine_cells(place[:, 0], place[:, 1])
        known = cell >= 0
        rate: Doubles = np.full(int(known.sum()), self.rate)
        for k, level in enumerate(self._levels):
            at = level.of_cells(cell[known])
            rate = _shrunk(level.accidents[at].astype(np.float64), level.severe[at].astype(np.float64), rate)
            out[known, 2 * k], out[known, 2 * k + 1] = level.density[at], rate
        self._name_rates(place, out)
        return out

    def transform_one(self, place: Sequence[float]) -> list[float]:
        """`transform` for one place, in pure Python: a few look-ups."""
        out = [math.nan] * len(self.columns)
        cell = fine_cell(place[0], place[1])
        if cell >= 0:
            area, rate = next(k for k, end in enumerate(_STARTS[1:]) if cell < end), self.rate
            for k, level in enumerate(self._levels):
                at = level.of_cell(cell, area)
                rate = _shrunk_one(level.accidents.item(at), level.severe.item(at), rate)
                out[2 * k], out[2 * k + 1] = level.density.item(at), rate
        rate = self.rate
        for k, (table, key) in enumerate(zip(self._named, place[2:], strict=True), start=2 * len(_LEVELS)):
            if table and key == key:
                out[k] = rate = _shrunk_one(*table.get(int(key), (0.0, 0.0)), rate)
        return out

    def save(self, folder: Path) -> None:
        """Write the counts as .npy files (no timestamps: same counts, same bytes)."""
        for name, counts in self.counts.items():
            np.save(folder / f"count_{name}.npy", counts)
        np.save(folder / "rate.npy", np.float64(self.rate))

    @classmethod
    def load(cls, folder: Path) -> PlaceEncoder:
        """Return the inverse of `save`. Raises BundleError if a file is not what `save` wrote."""
        counts = {n: np.load(folder / f"count_{n}.npy", allow_pickle=False) for n in ("cell", *NAMED)}
        if any(table.ndim != 2 or table.shape[1] != 3 for table in counts.values()):
            raise BundleError(f"{folder}: the counts of places are not tables of three columns. Train again.")
        return cls(counts, float(np.load(folder / "rate.npy", allow_pickle=False)))

    def _name_rates(self, place: Floats, out: Floats) -> None:
        rate: Doubles = np.full(len(place), self.rate)
        for k, name in enumerate(NAMED):
            keys, accidents, severe = self.counts[name].T
            known = np.flatnonzero(~np.isnan(place[:, 2 + k])) if len(keys) else np.zeros(0, dtype=np.int64)
            key = place[known, 2 + k].astype(np.float64)
            at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            is_known = keys[at] == key if len(known) else np.zeros(0, dtype=bool)
            rate[known] = _shrunk(
                np.where(is_known, accidents[at], 0), np.where(is_known, severe[at], 0), rate[known]
            )
            out[known, 2 * len(_LEVELS) + k] = rate[known]


def cross_fit(place: Floats, severe: Floats, seed: int, folds: int = FOLDS, scale: float = 1.0) -> Floats:
    """Columns for the training rows themselves, each from the other folds: no row sees its own label.

    float32 [n, len(PlaceEncoder.columns)]. Densities are scaled up to what all folds together would give,
    and by `scale` beyond that.
    """
    fold = np.random.default_rng(seed).integers(folds, size=len(severe)).astype(np.int8)
    return cross_fitted(place, fold, count_folds(place, severe, fold, folds), scale)


def count_folds(place: Floats, severe: Floats, fold: Folds, folds: int = FOLDS) -> list[PlaceCounts]:
    """Count the accidents of each fold."""
    return [PlaceCounts.of(place[fold == k], severe[fold == k]) for k in range(folds)]


def cross_fitted(place: Floats, fold: Folds, counts: Sequence[PlaceCounts], scale: float = 1.0) -> Floats:
    """Return what `cross_fit` does, for rows of given folds; `counts` may be of more rows than these."""
    folds = len(counts)
    out = np.empty((len(place), len(PlaceEncoder.columns)), dtype=np.float32)
    for k in range(folds):
        held = fold == k
        if held.any():
            others = reduce(PlaceCounts.__add__, [*counts[:k], *counts[k + 1 :]])
            encoder = PlaceEncoder.of_counts(others, scale * folds / (folds - 1))
            out[held] = encoder.transform(place[held])
    return out


def _count(key: Doubles, severe: Floats) -> Doubles:
    known = ~np.isnan(key)
    keys, inverse = np.unique(key[known], return_inverse=True)
    accidents = np.bincount(inverse, minlength=len(keys)).astype(np.float64)
    return np.column_stack(
        [keys, accidents, np.bincount(inverse, weights=severe[known], minlength=len(keys))]
    )


def _summed(some: Doubles, others: Doubles) -> Doubles:
    """Add two tables of key, accidents, severe ones."""
    both = np.concatenate([some, others])
    keys, at = np.unique(both[:, 0], return_inverse=True)
    sums = [np.bincount(at, weights=both[:, column], minlength=len(keys)) for column in (1, 2)]
    return np.column_stack([keys, *sums])


def _shrunk(accidents: Doubles, severe: Doubles, coarser: Doubles) -> Doubles:
    return (severe + _PRIOR * coarser) / (accidents + _PRIOR)


def _shrunk_one(accidents: float, severe: float, coarser: float) -> float:
    return (severe + _PRIOR * coarser) / (accidents + _PRIOR)
