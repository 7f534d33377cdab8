"""Where France is, and how published coordinates (scaled, unsigned overseas, swapped) become degrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]

# South, north, west, east in degrees, a little wider than the land.
MAINLAND: Box = (41.2, 51.3, -5.4, 9.8)
OVERSEAS: Mapping[str, Box] = {
    "971": (15.7, 18.2, -63.3, -60.8),  # held St-Martin and St-Barthelemy until 2007
    "972": (14.2, 15.0, -61.4, -60.6),
    "973": (2.0, 6.1, -54.8, -51.4),
    "974": (-21.6, -20.7, 55.0, 56.0),
    "975": (46.6, 47.3, -56.7, -56.0),
    "976": (-13.2, -12.5, 44.9, 45.5),
    "977": (17.8, 18.0, -63.0, -62.7),
    "978": (18.0, 18.2, -63.3, -62.9),
    "986": (-14.6, -13.0, -178.5, -175.9),
    "987": (-28.5, -7.5, -155.5, -134.0),
    "988": (-23.5, -17.5, 158.0, 172.5),
}
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
