"""Where France is, and how published coordinates (scaled, unsigned overseas, swapped) become degrees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from accidents.geography.boxes import MAINLAND, OVERSEAS, Box

Doubles = npt.NDArray[np.float64]
_AREAS = {"mainland": MAINLAND, **OVERSEAS}
GOOD, SIGN_LOST, SWAPPED, OUTSIDE = range(4)


def to_degrees(latitude: Doubles, longitude: Doubles) -> npt.NDArray[np.bool_]:
    """Divide, in place, the coordinates published x 100000; returns where."""
    scaled = np.abs(latitude) > 180
    latitude[scaled] /= 100_000
    longitude[scaled] /= 100_000
    return scaled


def locate(
    latitude: Doubles, longitude: Doubles, departments: Sequence[str | None], index: npt.NDArray[np.integer]
) -> npt.NDArray[np.int8]:
    """Put signs lost overseas, and swapped coordinates, right in place; blank what is outside the department.

    Row i is in `departments[index[i]]`; without one it may be anywhere in France. Returns one number a row:
    GOOD (or missing), SIGN_LOST or SWAPPED (both repaired), OUTSIDE (blanked).
    """
    outcome = np.zeros(len(latitude), dtype=np.int8)
    mainland = np.array([name not in OVERSEAS for name in departments])
    good = _inside(latitude, longitude, MAINLAND) & mainland[index]
    rows = np.flatnonzero(~good & ~np.isnan(latitude))
    if not len(rows):
        return outcome
    north, east = latitude[rows], longitude[rows]
    latitude[rows] = longitude[rows] = np.nan
    outcome[rows] = OUTSIDE
    allowed = np.array([[_may_be_in(departments[at], area) for area in _AREAS] for at in index[rows]])
    for department, first, second in _candidates(north, east):
        here = np.array([_inside(first, second, box) for box in _AREAS.values()]).T & allowed
        hit = here.any(axis=1) & (outcome[rows] == OUTSIDE)
        latitude[rows[hit]], longitude[rows[hit]], outcome[rows[hit]] = first[hit], second[hit], department
    return outcome


def _may_be_in(department: str | None, area: str) -> bool:
    """Whether an accident of a department may lie in an area; without department it may lie in any."""
    return department is None or area == (department if department in OVERSEAS else "mainland")


def _candidates(north: Doubles, east: Doubles) -> Iterator[tuple[int, Doubles, Doubles]]:
    """Yield what published coordinates may mean, the likeliest first, with the outcome if it holds."""
    for swapped, (latitude, longitude) in enumerate(((north, east), (east, north))):
        for north_sign, east_sign in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
            outcome = SWAPPED if swapped else SIGN_LOST if (north_sign, east_sign) != (1, 1) else GOOD
            yield outcome, latitude * north_sign, longitude * east_sign


def _inside(latitude: Doubles, longitude: Doubles, box: Box) -> npt.NDArray[np.bool_]:
    south, north, west, east = box
    return (latitude >= south) & (latitude <= north) & (longitude >= west) & (longitude <= east)
