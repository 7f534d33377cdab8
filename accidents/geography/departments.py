"""Which département a point is in, from the shapes the page draws (departments.json)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from accidents.geography.boxes import OVERSEAS

SHAPES = Path(__file__).parent / "departments.json"
NEAR_KM = 10.0
_KM_A_DEGREE = 111.2
_NEAR = NEAR_KM / _KM_A_DEGREE

Edge = tuple[float, float, float, float]


@dataclass(frozen=True)
class Shape:
    """One département: its box and the edges of all its rings, in degrees (x east, y north)."""

    code: str
    west: float
    south: float
    east: float
    north: float
    edges: tuple[Edge, ...]

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether a point is inside, by the even-odd rule (islands add, holes take away)."""
        inside = False
        for x1, y1, x2, y2 in self.edges:
            if (y1 > latitude) != (y2 > latitude):
                inside ^= longitude < (x2 - x1) * (latitude - y1) / (y2 - y1) + x1
        return inside

    def distance(self, latitude: float, longitude: float) -> float:
        """Kilometres from a point to the nearest edge; exact enough over the few that matter here."""
        shrink = math.cos(math.radians(latitude))
        return _KM_A_DEGREE * min(
            _to_edge((x1 - longitude) * shrink, y1 - latitude, (x2 - longitude) * shrink, y2 - latitude)
            for x1, y1, x2, y2 in self.edges
        )


def department_at(latitude: float, longitude: float) -> str | None:
    """INSEE code ("59", "2A", "974") of the département at a point in degrees (WGS84).

    Off the coast and at the border it is the nearest one; None where none is within 10 km, as for NaN.
    """
    nearby = list(_around(latitude, longitude))
    for shape in nearby:
        if shape.contains(latitude, longitude):
            return shape.code
    distances = [(shape.distance(latitude, longitude), shape.code) for shape in nearby]
    nearest, code = min(distances, default=(math.inf, None))
    return code if nearest <= NEAR_KM else _without_shape(latitude, longitude)


def _without_shape(latitude: float, longitude: float) -> str | None:
    """Overseas territories that the shapes leave out, such as St-Pierre-et-Miquelon, by their boxes."""
    drawn = {shape.code for shape in _shapes()}
    for code, (south, north, west, east) in OVERSEAS.items():
        if code not in drawn and south <= latitude <= north and west <= longitude <= east:
            return code
    return None


def _around(latitude: float, longitude: float) -> Iterator[Shape]:
    """Shapes whose box is within reach of the point."""
    if not (abs(latitude) < 90 and abs(longitude) <= 180):
        return
    reach = _NEAR / math.cos(math.radians(latitude))
    for shape in _shapes():
        if (
            shape.west - reach <= longitude <= shape.east + reach
            and shape.south - _NEAR <= latitude <= shape.north + _NEAR
        ):
            yield shape


@cache
def _shapes() -> tuple[Shape, ...]:
    document = json.loads(SHAPES.read_text(encoding="utf-8"))
    return tuple(_shape(each["code"], each["rings"]) for each in document["departments"])


def _shape(code: str, rings: list[list[float]]) -> Shape:
    xs = [x for ring in rings for x in ring[::2]]
    ys = [y for ring in rings for y in ring[1::2]]
    edges = tuple(edge for ring in rings for edge in _edges(ring))
    return Shape(code, min(xs), min(ys), max(xs), max(ys), edges)


def _edges(ring: list[float]) -> Iterator[Edge]:
    xs, ys = ring[::2], ring[1::2]
    yield from zip(xs, ys, xs[1:], ys[1:], strict=False)


def _to_edge(x1: float, y1: float, x2: float, y2: float) -> float:
    """Distance from the origin to a segment."""
    dx, dy = x2 - x1, y2 - y1
    length = dx * dx + dy * dy
    along = 0.0 if length == 0.0 else min(1.0, max(0.0, -(x1 * dx + y1 * dy) / length))
    return math.hypot(x1 + along * dx, y1 + along * dy)
