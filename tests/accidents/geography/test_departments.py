"""Which département a point is in: known places, coasts, borders, nonsense, and real accidents."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from accidents.geography.departments import SHAPES, department_at
from accidents.vocabulary.codes import column

PLACES = {
    "Paris, Notre-Dame": (48.853, 2.349, "75"),
    "Lille": (50.629, 3.057, "59"),
    "Marseille": (43.296, 5.370, "13"),
    "Brest": (48.390, -4.486, "29"),
    "Ajaccio": (41.919, 8.739, "2A"),
    "Bastia": (42.700, 9.445, "2B"),
    "Bourg-en-Bresse, a code with a zero": (46.205, 5.228, "01"),
    "Valréas, the part of Vaucluse within Drôme": (44.385, 4.991, "84"),
    "Nyons, Drôme around it": (44.360, 5.140, "26"),
    "Pointe-à-Pitre": (16.241, -61.533, "971"),
    "Fort-de-France": (14.616, -61.059, "972"),
    "Cayenne": (4.922, -52.313, "973"),
    "Saint-Denis de La Réunion": (-20.882, 55.450, "974"),
    "Mamoudzou": (-12.781, 45.228, "976"),
}


@pytest.mark.parametrize(("latitude", "longitude", "code"), PLACES.values(), ids=PLACES)
def test_towns_are_in_their_department(latitude: float, longitude: float, code: str) -> None:
    assert department_at(latitude, longitude) == code


@pytest.mark.parametrize(
    ("latitude", "longitude", "code"),
    [(43.24, 5.29, "13"), (48.45, -5.09, "29"), (43.74, 7.42, "06")],
    ids=["off Marseille", "Ouessant", "Monaco, across a border"],
)
def test_a_point_near_a_shape_belongs_to_it(latitude: float, longitude: float, code: str) -> None:
    assert department_at(latitude, longitude) == code


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        (46.0, -6.0),
        (51.507, -0.128),
        (0.0, 0.0),
        (45.07, 7.69),
        (90.0, 0.0),
        (-90.0, 180.0),
        (1e300, 2.0),
        (48.8, 1e300),
        (math.nan, 2.0),
        (48.8, math.nan),
        (math.inf, 2.0),
        (48.8, -math.inf),
    ],
)
def test_far_from_france_there_is_none(latitude: float, longitude: float) -> None:
    assert department_at(latitude, longitude) is None


def test_ten_kilometres_are_the_reach() -> None:
    """North of Nord's northernmost point there is only Belgium and the sea."""
    rings = next(each for each in _departments() if each["code"] == "59")["rings"]
    north, east = max((y, x) for ring in rings for x, y in zip(ring[::2], ring[1::2], strict=True))
    assert department_at(north + 9.5 / 111.2, east) == "59"
    assert department_at(north + 10.5 / 111.2, east) is None


def test_all_departments_are_there_once_with_their_names() -> None:
    codes = [str(each["code"]) for each in _departments()]
    published = set(column("department").codes) - {"975", "977", "978", "986", "987", "988"}
    assert len(codes) == 101
    assert set(codes) == published
    names = {each["code"]: each["name"] for each in _departments()}
    assert names["22"] == "Côtes-d'Armor"
    assert names["54"] == "Meurthe-et-Moselle"
    assert all(ring[:2] == ring[-2:] for each in _departments() for ring in each["rings"])


def test_the_file_is_small() -> None:
    assert SHAPES.stat().st_size < 250_000


def test_a_look_up_is_quick() -> None:
    points = [(latitude, longitude) for latitude, longitude, _ in PLACES.values()]
    took = min(_seconds(points) for _ in range(20)) / len(points)
    assert took < 100e-6


@pytest.mark.realdata
def test_real_accidents_are_found_where_they_were_recorded(baac: Path) -> None:
    """2021's accidents, the only whole year here with coordinates and departments: 97.1 % agree.

    The rest lie by the borders, two thirds of them those of Paris and its three neighbours.
    """
    table = pd.read_csv(baac / "processed" / "2021_worst_user_per_accident.csv.gz", low_memory=False)
    recorded = table["dep"].astype(str).str.zfill(2)
    ours = recorded.isin([str(each["code"]) for each in _departments()]) & table["lat"].ne(0)
    points = table[ours][["lat", "long"]].astype(float).itertuples(index=False)
    found = pd.Series([department_at(*point) for point in points])
    assert found.notna().mean() > 0.999
    assert (found.to_numpy() == recorded[ours].to_numpy()).mean() > 0.965


def _departments() -> list[dict[str, object]]:
    return json.loads(SHAPES.read_text(encoding="utf-8"))["departments"]


def _seconds(points: list[tuple[float, float]]) -> float:
    traced = sys.gettrace()
    sys.settrace(None)  # coverage's own time is not meant
    try:
        start = time.perf_counter()
        for point in points:
            department_at(*point)
        return time.perf_counter() - start
    finally:
        sys.settrace(traced)


@pytest.mark.parametrize(
    ("latitude", "longitude", "code"),
    [(46.78, -56.18, "975"), (17.90, -62.83, "977"), (18.07, -63.08, "978"), (-17.55, -149.56, "987"),
     (-22.27, 166.45, "988"), (-13.28, -176.18, "986")],
)  # fmt: skip
def test_territories_without_a_shape_are_known_by_their_boxes(
    latitude: float, longitude: float, code: str
) -> None:
    assert department_at(latitude, longitude) == code
