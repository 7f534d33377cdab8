"""The features, each declared once: what it means, when it is known, and how it is computed.

What was tried and left out, and why, is told in docs/features.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from accidents.errors import SettingsError
from accidents.features.computations import (
    Age,
    AnyOf,
    Computation,
    Count,
    Extreme,
    OfExtreme,
    Parsed,
    Rows,
    Value,
    Weekday,
)

Stage = Literal["dispatch", "on_scene"]
STAGES: tuple[str, ...] = ("dispatch", "on_scene")


@dataclass(frozen=True)
class Feature:
    """One declaration: drives training (`build_features`), serving (`build_one`) and the documentation.

    `known_at` is the earliest stage that may use it. `codes` are the values of a category. `rises` is +1
    where, all else equal, a higher value cannot lower the risk: the trees are held to it.
    """

    name: str
    kind: Literal["category", "number", "flag"]
    known_at: Stage
    description: str
    compute: Computation
    codes: tuple[int, ...] = ()
    rises: Literal[0, 1] = 0


BICYCLES = frozenset({1, 80})
MOPEDS = frozenset({2, 30, 32, 35, 41})  # and small scooters: up to 125 cc they behave alike
MOTORCYCLES = frozenset({4, 5, 6, 31, 33, 34, 36, 42, 43})
MOBILITY_DEVICES = frozenset({50, 60})
CARS = frozenset({3, 7, 8, 9})
VANS = frozenset({10, 11, 12})
LORRIES = frozenset({13, 14, 15, 16, 17})
PUBLIC_TRANSPORT = frozenset({18, 19, 37, 38, 39, 40})
MACHINES = frozenset({20, 21})
TWO_WHEELERS = BICYCLES | MOPEDS | MOTORCYCLES | MOBILITY_DEVICES

# From the least to the most protected of those who ride in it; the extremes of an accident tell the mismatch.
_MASS = {
    **dict.fromkeys(BICYCLES | MOBILITY_DEVICES, 1.0),
    **dict.fromkeys(MOPEDS, 2.0),
    **dict.fromkeys(MOTORCYCLES, 3.0),
    **dict.fromkeys(CARS, 4.0),
    **dict.fromkeys(VANS, 5.0),
    **dict.fromkeys(MACHINES, 6.0),
    **dict.fromkeys(LORRIES, 7.0),
    **dict.fromkeys(PUBLIC_TRANSPORT, 8.0),
}
_PEDESTRIAN = (
    Count("vehicles", "moving_obstacle", frozenset({1})),
    Count("users", "role", frozenset({3})),
)


def insee_number(text: str) -> float:
    """INSEE code of a département or commune as a number; NaN if it is none.

    "59" -> 59, "2A" -> 201, "2B" -> 202; "59350" -> 59350, "2A004" -> 201004.
    """
    text = text.strip().upper().replace("2A", "201").replace("2B", "202")
    return float(text) if text.isascii() and text.isdecimal() else float("nan")


def _codes(last: int, first: int = 1) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def _vehicles(name: str, codes: frozenset[int], description: str, rises: Literal[0, 1] = 0) -> Feature:
    return Feature(name, "number", "dispatch", description, Count("vehicles", "category", codes), rises=rises)


def _obstacle(name: str, column: str, codes: set[int], description: str) -> Feature:
    return Feature(name, "number", "on_scene", description, Count("vehicles", column, frozenset(codes)))


def _of_extreme(name: str, column: str, heaviest: bool, description: str, codes: tuple[int, ...]) -> Feature:
    compute = OfExtreme("vehicles", column, "category", _MASS, heaviest)
    return Feature(name, "category", "on_scene", description, compute, codes)


_TIME_AND_PLACE = (
    Feature("hour", "number", "dispatch", "hour of the day, 0-23", Value("accidents", "hour")),
    Feature("weekday", "category", "dispatch", "0 Monday to 6 Sunday", Weekday(), _codes(6, 0)),
    Feature("light", "category", "dispatch", "daylight, dusk, night", Value("accidents", "light"), _codes(5)),
    Feature("weather", "category", "dispatch", "weather", Value("accidents", "weather"), _codes(9)),
    Feature("built_up", "category", "dispatch", "1 outside, 2 inside",
            Value("accidents", "built_up"), _codes(2)),
    Feature("junction", "category", "dispatch", "junction type", Value("accidents", "junction"), _codes(9)),
    Feature("department", "category", "dispatch", "département, 2A is 201 and 2B 202",
            Parsed("accidents", "department", insee_number)),
    Feature("commune", "category", "dispatch", "commune, 2Axxx is 201xxx and 2Bxxx 202xxx",
            Parsed("accidents", "commune", insee_number)),
    Feature("latitude", "number", "dispatch", "degrees north, WGS84", Value("accidents", "latitude")),
    Feature("longitude", "number", "dispatch", "degrees east, WGS84", Value("accidents", "longitude")),
)  # fmt: skip

_ROAD = (
    Feature("road_class", "category", "dispatch", "motorway to car park",
            Value("places", "road_class"), _codes(9)),
    Feature("layout", "category", "dispatch", "one-way, two-way, separate",
            Value("places", "layout"), _codes(4)),
    Feature("lanes", "number", "dispatch", "lanes, all directions together", Value("places", "lanes")),
    Feature("reserved_lane", "category", "dispatch", "cycle or reserved lane",
            Value("places", "reserved_lane"),
            _codes(3, 0)),
    Feature("gradient", "category", "dispatch", "flat, slope, hilltop, foot",
            Value("places", "gradient"), _codes(4)),
    Feature("alignment", "category", "dispatch", "straight or bend", Value("places", "alignment"), _codes(4)),
    Feature("surface", "category", "dispatch", "state of the surface", Value("places", "surface"), _codes(9)),
    Feature("infrastructure", "category", "dispatch", "tunnel, bridge, slip road…",
            Value("places", "infrastructure"), _codes(9, 0)),
    Feature("speed_limit", "number", "dispatch", "km/h", Value("places", "speed_limit"), rises=1),
)  # fmt: skip

_VEHICLES = (
    Feature("vehicles", "number", "dispatch", "how many vehicles", Rows("vehicles")),
    Feature("pedestrian", "flag", "dispatch", "a pedestrian is hit", AnyOf(_PEDESTRIAN), rises=1),
    _vehicles("bicycles", BICYCLES | MOBILITY_DEVICES, "bicycles and mobility devices"),
    _vehicles("mopeds", MOPEDS, "mopeds and small scooters"),
    _vehicles("motorcycles", MOTORCYCLES, "motorcycles"),
    _vehicles("cars", CARS, "cars"),
    _vehicles("vans", VANS, "vans"),
    _vehicles("lorries", LORRIES, "lorries"),
    _vehicles("public_transport", PUBLIC_TRANSPORT, "buses, coaches, trams, trains"),
    _vehicles("machines", MACHINES, "farm tractors and special machines"),
    Feature("lightest", "number", "dispatch", "rank by mass of the lightest vehicle",
            Extreme("vehicles", "category", _MASS, largest=False)),
    Feature("heaviest", "number", "dispatch", "rank by mass of the heaviest vehicle",
            Extreme("vehicles", "category", _MASS, largest=True)),
)  # fmt: skip

_ON_SCENE = (
    Feature("collision", "category", "on_scene", "manner of collision",
            Value("accidents", "collision"), _codes(7)),
    _obstacle("hit_parked", "fixed_obstacle", {1}, "vehicles that hit a parked one"),
    _obstacle("hit_tree", "fixed_obstacle", {2}, "vehicles that hit a tree"),
    _obstacle("hit_barrier", "fixed_obstacle", {3, 4, 5}, "vehicles that hit a barrier"),
    _obstacle("hit_wall", "fixed_obstacle", {6, 10, 17}, "vehicles that hit a wall, pier or parapet"),
    _obstacle("hit_post", "fixed_obstacle", {7, 8, 9}, "vehicles that hit a post, pole or street furniture"),
    _obstacle("hit_kerb", "fixed_obstacle", {11, 12}, "vehicles that hit an island or kerb"),
    _obstacle("hit_ditch", "fixed_obstacle", {13}, "vehicles that hit a ditch, bank or rock"),
    _obstacle("hit_other", "fixed_obstacle", {14, 15}, "vehicles that hit another fixed object"),
    _obstacle("left_road", "fixed_obstacle", {16}, "vehicles that left the road and hit nothing"),
    _obstacle("hit_vehicle", "moving_obstacle", {2}, "vehicles that hit a moving one"),
    _obstacle("hit_animal", "moving_obstacle", {5, 6}, "vehicles that hit an animal"),
    _obstacle("hit_train", "moving_obstacle", {4}, "vehicles that hit a rail vehicle"),
    _obstacle("hit_nothing", "moving_obstacle", {0}, "vehicles that hit nothing that moves"),
    _obstacle("front_impacts", "impact", {1, 2, 3}, "vehicles first hit at the front"),
    _obstacle("rear_impacts", "impact", {4, 5, 6}, "vehicles first hit at the rear"),
    _obstacle("side_impacts", "impact", {7, 8}, "vehicles first hit at the side"),
    _obstacle("rollovers", "impact", {9}, "vehicles hit several times (rollover)"),
    _obstacle("no_impacts", "impact", {0}, "vehicles without impact"),
    _of_extreme("impact_of_lightest", "impact", False, "first impact on the lightest vehicle", _codes(9, 0)),
    _of_extreme("impact_of_heaviest", "impact", True, "first impact on the heaviest vehicle", _codes(9, 0)),
    _of_extreme("obstacle_of_lightest", "fixed_obstacle", False, "fixed obstacle the lightest hit",
                _codes(17, 0)),
    _of_extreme("obstacle_of_heaviest", "fixed_obstacle", True, "fixed obstacle the heaviest hit",
                _codes(17, 0)),
    Feature("people", "number", "on_scene", "people involved, unharmed ones too", Rows("users")),
    Feature("pedestrians", "number", "on_scene", "pedestrians involved",
            Count("users", "role", frozenset({3}))),
    Feature("passengers", "number", "on_scene", "passengers", Count("users", "role", frozenset({2}))),
    Feature("women", "number", "on_scene", "women and girls involved", Count("users", "sex", frozenset({2}))),
    Feature("rear_seats", "number", "on_scene", "users on rear seats",
            Count("users", "seat", frozenset({3, 4, 5, 7, 8, 9}))),
    Feature("oldest", "number", "on_scene", "age of the oldest user", Age(largest=True)),
    Feature("youngest", "number", "on_scene", "age of the youngest user", Age(largest=False)),
    Feature("oldest_pedestrian", "number", "on_scene", "age of the oldest pedestrian",
            Age(largest=True, roles=frozenset({3}))),
    Feature("youngest_driver", "number", "on_scene", "age of the youngest driver",
            Age(largest=False, roles=frozenset({1}))),
    Feature("oldest_driver", "number", "on_scene", "age of the oldest driver",
            Age(largest=True, roles=frozenset({1}))),
)  # fmt: skip

FEATURES: tuple[Feature, ...] = _TIME_AND_PLACE + _ROAD + _VEHICLES + _ON_SCENE
_BY_STAGE = {
    "dispatch": tuple(f for f in FEATURES if f.known_at == "dispatch"),
    "on_scene": FEATURES,
}


def features_of(stage: str) -> tuple[Feature, ...]:
    """Return the declarations a stage may use. Raises SettingsError for an unknown stage."""
    try:
        return _BY_STAGE[stage]
    except KeyError:
        raise SettingsError(f"Unknown stage {stage!r}: choose one of {', '.join(STAGES)}.") from None


def feature_names(stage: str) -> tuple[str, ...]:
    """Names of the features of a stage, in the order of the model's columns."""
    return tuple(feature.name for feature in features_of(stage))
