"""What the sample is drawn from: the calibration file's tables, and the groupings its tables are keyed by.

The file holds aggregates only (shares per context, coefficients, accident counts per place), made by
`benchmarks/calibrate_sample.py` from real years; no row of a real accident is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]
"""One table in the making: column name to values, all of one length."""

CALIBRATION = Path(__file__).with_name("calibration.json")

GROUPS = "blmcvhtoe"
"""Vehicle groups: bicycle, light two-wheeler, motorcycle, car, van, heavy, transit, other, e-scooter;
a group's number is its place here."""
GROUP_OF_CATEGORY = {
    1: "b",
    80: "b",
    2: "l",
    30: "l",
    41: "l",
    31: "m",
    32: "m",
    33: "m",
    34: "m",
    42: "m",
    43: "m",
    3: "c",
    7: "c",
    10: "v",
    13: "h",
    14: "h",
    15: "h",
    16: "h",
    17: "h",
    37: "t",
    38: "t",
    39: "t",
    40: "t",
    50: "e",
    60: "e",
}
ROAD_CLASSES = (1, 2, 3, 4, 5, 6, 7, 9)
AREAS = 4
CLASSES = 8
SHAPES = 6
MAX_VEHICLES = 4  # a scheme names so many vehicles; longer ones get further cars


@dataclass(frozen=True)
class Table:
    """Shares of the values of one column in each context, drawn from by inverse cumulative share."""

    codes: Ints
    shape: tuple[int, ...]  # number of levels of each parent
    steps: Doubles  # (contexts * codes,) cumulative share plus the context's number: one sorted array

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Table:
        """Build from `codes`, `shape` and `shares` (one row a context; need not sum to one)."""
        shares = np.asarray(content["shares"], dtype=float).reshape(-1, len(content["codes"]))
        total = shares.sum(axis=1, keepdims=True)
        cumulative = np.cumsum(shares, axis=1) / np.where(total == 0, 1, total)
        cumulative[:, -1] = 1.0
        steps = cumulative + np.arange(len(cumulative))[:, None]
        return cls(np.asarray(content["codes"]), tuple(content["shape"]), steps.ravel())

    def draw(self, uniform: Doubles, *parents: npt.NDArray[Any]) -> Ints:
        """Return a code for each of `uniform` (n,) in [0, 1); `parents` (each (n,)) give its context."""
        row = np.ravel_multi_index(parents, self.shape) if parents else np.zeros(len(uniform), dtype=np.int64)
        positions = np.searchsorted(self.steps, row + uniform, side="right") - row * len(self.codes)
        drawn: Ints = self.codes[np.minimum(positions, len(self.codes) - 1)]
        return drawn


@dataclass(frozen=True)
class Calibration:
    """The calibration file, ready to draw from."""

    tables: Mapping[str, Table]
    schemes: tuple[str, ...]  # vehicles and pedestrians of an accident: "cm", "cP" (P: a pedestrian is hit)
    departments: tuple[str, ...]
    department_share: Mapping[int, Doubles]  # year measured -> share of accidents per department
    places: Columns
    severity: Mapping[str, Any]
    users: Mapping[str, Any]

    @property
    def class_of_scheme(self) -> Ints:
        """Class of each scheme."""
        return np.array([scheme_class(scheme) for scheme in self.schemes])

    @property
    def shape_of_scheme(self) -> Ints:
        """Shape of each scheme."""
        return np.array([scheme_shape(scheme) for scheme in self.schemes])


@cache
def load_calibration(path: Path = CALIBRATION) -> Calibration:
    """Read the calibration file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    places = content["places"]
    return Calibration(
        tables={name: Table.from_json(table) for name, table in content["tables"].items()},
        schemes=tuple(content["schemes"]),
        departments=tuple(content["departments"]),
        department_share={
            int(year): np.asarray(share) for year, share in content["department_share"].items()
        },
        places={name: np.asarray(values) for name, values in places.items()},
        severity=content["severity"],
        users=content["users"],
    )


def road_group(road_class: npt.NDArray[Any]) -> Ints:
    """0 motorway, 1 national, 2 departmental, 3 local or metropolitan, 4 other."""
    lookup = np.full(10, 4)
    lookup[[1, 2, 3, 4, 7]] = [0, 1, 2, 3, 3]
    group: Ints = lookup[road_class]
    return group


def period(hour: npt.NDArray[Any]) -> Ints:
    """0 morning rush (6-9), 1 day (10-15), 2 evening rush (16-19), 3 night (20-5)."""
    number: Ints = np.digitize((hour - 6) % 24, (4, 10, 14))
    return number


def area(department: str) -> int:
    """0 Paris and its inner ring, 1 Mediterranean coast, 2 overseas, 3 elsewhere."""
    if department in ("75", "92", "93", "94"):
        return 0
    if department in ("06", "13", "83", "34", "30", "66", "2A", "2B", "84"):
        return 1
    return 2 if department.startswith(("97", "98")) else 3


def scheme_class(scheme: str) -> int:
    """0 pedestrian, 1 bicycle, 2 light two-wheeler, 3 motorcycle, 4 one car, 5 heavy, 6 cars, 7 other."""
    for number, marks in enumerate("Pblm"):
        if marks in scheme:
            return number
    if scheme in ("c", "v"):
        return 4
    if "h" in scheme or "t" in scheme:
        return 5
    return 6 if set(scheme) <= {"c", "v"} else 7


def scheme_shape(scheme: str) -> int:
    """With a pedestrian: 0 one vehicle, 1 more; else: 2 one, 3 two, 4 two with a two-wheeler, 5 more."""
    vehicles = scheme.rstrip("P")
    if scheme.endswith("P"):
        return 0 if len(vehicles) == 1 else 1
    if len(vehicles) != 2:
        return 2 if len(vehicles) == 1 else 5
    return 4 if set(vehicles) & set("blme") else 3
