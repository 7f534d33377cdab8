"""What the training years tell about a place: how dense accidents are around it and how severe.

Accidents are counted on a grid of 1 km cells; Gaussian blurs of those counts at several bandwidths give the
density and the severity of the neighbourhood, each scale shrunk towards the next coarser one, so that a lone
accident in the country says little and a thousand in a city say much. Only the counts are kept: the grids
are rebuilt on loading with numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# Kilometres between two cells; the blur of a scale is given in cells of a grid coarsened to about a third of it.
_CELL_KM = 1.0
_KM_PER_DEGREE = 111.2
_BANDWIDTHS_KM = (1.0, 3.0, 10.0, 30.0)
_PRIOR = 20.0  # accidents of the coarser scale that a scale's own count is weighed against


@dataclass(frozen=True)
class Area:
    """A box of the Earth with a grid of its own (degrees WGS84)."""

    name: str
    south: float
    north: float
    west: float
    east: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (south to north) and columns (west to east) of 1 km cells."""
        return int(np.ceil((self.north - self.south) * self.km_y)), int(np.ceil((self.east - self.west) * self.km_x))

    @property
    def km_y(self) -> float:
        """Kilometres per degree of latitude."""
        return _KM_PER_DEGREE / _CELL_KM

    @property
    def km_x(self) -> float:
        """Kilometres per degree of longitude, halfway up the box."""
        return self.km_y * float(np.cos(np.radians((self.south + self.north) / 2)))


AREAS = (
    Area("mainland", 41.0, 51.6, -5.5, 10.0),
    Area("antilles", 14.2, 18.3, -63.3, -60.6),
    Area("guiana", 2.0, 6.0, -54.8, -51.4),
    Area("reunion", -21.5, -20.7, 55.1, 56.0),
    Area("mayotte", -13.1, -12.5, 44.9, 45.4),
    Area("new_caledonia", -22.9, -19.4, 163.4, 168.3),
    Area("polynesia", -18.0, -16.2, -152.0, -149.0),
)
_OFFSETS = np.cumsum([0, *(rows * columns for rows, columns in (area.shape for area in AREAS))])


def cells(latitude: Floats, longitude: Floats) -> npt.NDArray[np.int64]:
    """The 1 km cell of each place, int64 [n]; -1 where it is not known or in no area."""
    cell = np.full(len(latitude), -1, dtype=np.int64)
    for area, offset in zip(AREAS, _OFFSETS, strict=False):
        inside = (latitude >= area.south) & (latitude < area.north)
        inside &= (longitude >= area.west) & (longitude < area.east)
        row = ((latitude[inside].astype(np.float64) - area.south) * area.km_y).astype(np.int64)
        column = ((longitude[inside].astype(np.float64) - area.west) * area.km_x).astype(np.int64)
        cell[inside] = offset + row * area.shape[1] + column
    return cell


def blur(grid: Floats, sigma: float) -> Floats:
    """Sum of the neighbouring cells weighted by a Gaussian of peak 1, float32, same shape."""
    radius = int(3 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype(np.float32)
    for axis in (0, 1):
        padded = np.pad(grid, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)])
        total = np.zeros_like(grid)
        for k, weight in enumerate(weights):
            total += weight * np.take(padded, range(k, k + grid.shape[axis]), axis=axis)
        grid = total
    return grid


class PlaceEncoder:
    """Learns counts per cell and gives `columns` for any place.

    Parameters
    ----------
    cell : occupied cells, int64 [k], ascending.
    accidents, severe : counts per occupied cell, float64 [k]; `severe` counts may be shares.
    """

    columns: tuple[str, ...] = tuple(
        name for km in _BANDWIDTHS_KM for name in (f"density_{km:g}km", f"severity_{km:g}km")
    )

    def __init__(self, cell: npt.NDArray[np.int64], accidents: Doubles, severe: Doubles) -> None:
        self.cell, self.accidents, self.severe = cell, accidents, severe
        self.rate = float(severe.sum() / accidents.sum()) if len(cell) else 0.0
        self._grids = [self._area_grids(*pair) for pair in zip(AREAS, _OFFSETS, strict=False)]
        self._table = np.concatenate(self._grids, axis=0)

    @classmethod
    def fit(cls, latitude: Floats, longitude: Floats, severe: Floats) -> PlaceEncoder:
        """Count the training accidents: three float32 arrays [n]; rows without a place take no part."""
        cell = cells(latitude, longitude)
        known = cell >= 0
        occupied, inverse = np.unique(cell[known], return_inverse=True)
        count = np.bincount(inverse, minlength=len(occupied)).astype(np.float64)
        bad = np.bincount(inverse, weights=severe[known], minlength=len(occupied))
        return cls(occupied, count, bad)

    def transform(self, latitude: Floats, longitude: Floats) -> Floats:
        """The columns of each place, float32 [n, len(columns)]; NaN where the place is not known."""
        cell = cells(latitude, longitude)
        found = self._table[cell]
        found[cell < 0] = np.nan
        return found

    def save(self, folder: Path) -> None:
        """Write the counts as one .npy file (deterministic bytes)."""
        np.save(folder / "places.npy", np.column_stack([self.cell, self.accidents, self.severe]))

    @classmethod
    def load(cls, folder: Path) -> PlaceEncoder:
        """The inverse of `save`."""
        cell, accidents, severe = np.load(folder / "places.npy", allow_pickle=False).T
        return cls(cell.astype(np.int64), accidents, severe)

    def _area_grids(self, area: Area, offset: int) -> Floats:
        rows, columns = area.shape
        here = (self.cell >= offset) & (self.cell < offset + rows * columns)
        count, bad = (np.zeros(rows * columns, dtype=np.float32) for _ in range(2))
        count[self.cell[here] - offset] = self.accidents[here]
        bad[self.cell[here] - offset] = self.severe[here]
        out = np.empty((rows, columns, len(self.columns)), dtype=np.float32)
        rate = np.full((rows, columns), self.rate, dtype=np.float32)
        for k in reversed(range(len(_BANDWIDTHS_KM))):  # from the coarsest to the finest
            n = blur(count.reshape(rows, columns), _BANDWIDTHS_KM[k] / _CELL_KM)
            s = blur(bad.reshape(rows, columns), _BANDWIDTHS_KM[k] / _CELL_KM)
            rate = (s + np.float32(_PRIOR) * rate) / (n + np.float32(_PRIOR))
            out[..., 2 * k], out[..., 2 * k + 1] = np.log1p(n), rate
        return out.reshape(rows * columns, -1)


def cross_fit(latitude: Floats, longitude: Floats, severe: Floats, seed: int, folds: int = 5) -> Floats:
    """Columns for the training rows themselves, each from the other folds: no row sees its own label."""
    fold = np.random.default_rng(seed).integers(folds, size=len(severe))
    out = np.empty((len(severe), len(PlaceEncoder.columns)), dtype=np.float32)
    for k in range(folds):
        encoder = PlaceEncoder.fit(latitude[fold != k], longitude[fold != k], severe[fold != k])
        out[fold == k] = encoder.transform(latitude[fold == k], longitude[fold == k])
    return out
