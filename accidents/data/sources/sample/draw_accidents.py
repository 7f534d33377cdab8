"""Draw a synthetic year: its accidents with their places, their vehicles and the people, in code numbers.

Every function takes a random stream of its own, so that one part can be changed (a drift, say) and the others
stay byte for byte what they were.
"""

from __future__ import annotations

import calendar

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from accidents.data.sources.sample.tables import (
    GROUPS,
    MAX_VEHICLES,
    ROAD_CLASSES,
    Calibration,
    Columns,
    Doubles,
    Ints,
    area,
    period,
    road_group,
)

PARTS = ("places", "accidents", "roads", "vehicles", "users", "severity", "flaws", "drift")
E_SCOOTERS_SINCE, E_BIKES_SINCE = 2019, 2019
OVERSEAS_SINCE = {"976": 2012, "975": 2019, "977": 2019, "978": 2019, "986": 2019, "987": 2019, "988": 2019}
FLED = 0.034  # of vehicles that others could tell of: 1.7 % of all, as in 2018
METROPOLITAN_SINCE = 2018  # road class 7
WEATHER_REGIONS = 12
WEATHER_TOGETHER = 0.7  # correlation of the weather of two accidents of one day and region


def stream(seed: int, year: int, part: str) -> np.random.Generator:
    """Return the random stream of one part of one year: independent of which other years are made."""
    return np.random.default_rng([seed, year, PARTS.index(part)])


# ---------------------------------------------------------------- accidents


def draw_accidents(calibration: Calibration, year: int, n: int, seed: int) -> Columns:
    """Draw `n` accidents of `year` with the columns of their places."""
    a = _where(stream(seed, year, "places"), calibration, year, n)
    _what_and_when(stream(seed, year, "accidents"), calibration, a, year)
    _road(stream(seed, year, "roads"), calibration, a)
    return a


def _where(rng: np.random.Generator, calibration: Calibration, year: int, n: int) -> Columns:
    """Place, coordinates and built-up area of each accident."""
    places = calibration.places
    weight = _place_weights(calibration, year)
    index = np.searchsorted(np.cumsum(weight) / weight.sum(), rng.random(n), side="right")
    if year <= 2018:
        index.sort()  # serials run in blocks of departments up to 2018, and places are listed by department
    inside = (places["inside"] + 0.5) / (places["inside"] + places["outside"] + 1)
    spread = places["spread"][index]
    lat = places["lat"][index]
    stretch = np.cos(np.radians(lat))  # a degree of longitude is shorter than one of latitude
    return {
        "place": index,
        "department_index": places["department"][index],
        "department": np.array(calibration.departments)[places["department"][index]],
        "commune": places["commune"][index],
        "latitude": lat + rng.standard_normal(n) * spread,
        "longitude": places["lon"][index] + rng.standard_normal(n) * spread / stretch,
        "built_up": np.where(rng.random(n) < inside[index], 2, 1),
    }


def _place_weights(calibration: Calibration, year: int) -> Doubles:
    """Weight of each place: its accidents, moved between departments as they moved from 2013 to 2021."""
    places, share = calibration.places, calibration.department_share
    early, late = min(share), max(share)
    along = np.clip((year - early) / (late - early), 0, 1)
    wanted = (1 - along) * share[early] + along * share[late]
    count = (places["inside"] + places["outside"]).astype(float)
    have = np.bincount(places["department"], weights=count, minlength=len(wanted))
    covered = [year >= OVERSEAS_SINCE.get(name, 2005) for name in calibration.departments]
    factor = wanted / np.maximum(have, 1) * covered
    weight: Doubles = count * factor[places["department"]]
    return weight


def _what_and_when(rng: np.random.Generator, calibration: Calibration, a: Columns, year: int) -> None:
    """Road class, the vehicles' scheme, date, time, light, weather."""
    tables, n = calibration.tables, len(a["place"])
    inside = a["built_up"] - 1
    road = "road_class_2021" if year > METROPOLITAN_SINCE else "road_class"
    a["road_class"] = tables[road].draw(rng.random(n), a["department_index"], inside)
    if year < METROPOLITAN_SINCE:
        a["road_class"] = np.where(a["road_class"] == 7, 3, a["road_class"])
    zone = np.array([area(name) for name in calibration.departments])[a["department_index"]]
    a["scheme"] = tables["scheme"].draw(rng.random(n), inside, road_group(a["road_class"]), zone)
    kind = calibration.class_of_scheme[a["scheme"]]
    a["month"] = tables["month"].draw(rng.random(n), kind)
    weekday, a["hour"] = np.divmod(tables["weekhour"].draw(rng.random(n), kind, inside), 24)
    a["minute"] = tables["minute"].draw(rng.random(n))
    a["weekday"] = weekday
    a["day"] = _day(rng.random(n), year, a["month"], weekday)
    a["light"] = tables["light"].draw(rng.random(n), a["month"] - 1, a["hour"], inside)
    a["weather"] = tables["weather"].draw(_weather_uniform(rng, a), a["month"] - 1)
    winter = np.isin(a["month"], (12, 1, 2)).astype(np.int64)
    a["surface"] = tables["surface"].draw(rng.random(n), a["weather"], winter)


def _day(uniform: Doubles, year: int, month: Ints, weekday: Ints) -> Ints:
    """Return a day of the month that falls on the weekday."""
    first = np.array([calendar.monthrange(year, m)[0] for m in range(1, 13)])[month - 1]
    length = np.array([calendar.monthrange(year, m)[1] for m in range(1, 13)])[month - 1]
    start = (weekday - first) % 7 + 1
    day: Ints = start + 7 * (uniform * ((length - start) // 7 + 1)).astype(np.int64)
    return day


def _weather_uniform(rng: np.random.Generator, a: Columns) -> Doubles:
    """Uniform numbers that are alike for accidents of one day and region."""
    common = rng.standard_normal((13, 32, WEATHER_REGIONS))[
        a["month"], a["day"], a["department_index"] // 9 % 12
    ]
    own = rng.standard_normal(len(common))
    uniform: Doubles = ndtr(np.sqrt(WEATHER_TOGETHER) * common + np.sqrt(1 - WEATHER_TOGETHER) * own)
    return uniform


def _road(rng: np.random.Generator, calibration: Calibration, a: Columns) -> None:
    """Columns of the place, and the manner of collision."""
    tables, n = calibration.tables, len(a["place"])
    inside, group = a["built_up"] - 1, road_group(a["road_class"])
    road = np.searchsorted(ROAD_CLASSES, a["road_class"])
    shape = calibration.shape_of_scheme[a["scheme"]]
    zone = np.array([area(name) for name in calibration.departments])[a["department_index"]]
    a["junction"] = tables["junction"].draw(rng.random(n), inside, group)
    crossing = (a["junction"] > 1).astype(np.int64)
    a["layout"] = tables["layout"].draw(rng.random(n), road, inside)
    a["lanes"] = tables["lanes"].draw(rng.random(n), a["layout"], group)
    a["gradient"] = tables["gradient"].draw(rng.random(n), inside, zone)
    a["alignment"] = tables["alignment"].draw(rng.random(n), inside, (shape == 2).astype(np.int64), crossing)
    a["infrastructure"] = tables["infrastructure"].draw(rng.random(n), group, crossing)
    a["reserved_lane"] = tables["reserved_lane"].draw(rng.random(n), inside, group)
    position = rng.random(n)
    a["position"] = tables["position"].draw(position, inside, shape)
    a["position_2018"] = tables["position_2018"].draw(position, inside, shape)
    school = rng.random(n)
    a["near_school"] = tables["near_school"].draw(school, inside)
    a["near_school_2018"] = tables["near_school_2018"].draw(school, inside)
    reserve = rng.random(n) < np.where(a["layout"] == 3, 0.7, 0.1)
    a["reserve_width"] = np.where(reserve, rng.choice((5, 10, 15, 20, 30, 50), n), 0)
    a["road_width"] = tables["road_width"].draw(rng.random(n), group)
    a["speed_limit"] = tables["speed_limit"].draw(
        rng.random(n), road, inside, (a["layout"] == 3).astype(np.int64)
    )
    a["collision"] = tables["collision"].draw(rng.random(n), shape, inside, crossing, group)
    a["road_number"] = np.where(group == 0, rng.integers(1, 90, n), rng.integers(1, 1000, n))
    a["milepost"] = np.where(rng.random(n) < 0.45, rng.geometric(0.05, n), 0)
    a["milepost_distance"] = np.where(a["milepost"] > 0, rng.integers(0, 100, n) * 10, 0)


# ---------------------------------------------------------------- vehicles


def scheme_vehicles(schemes: tuple[str, ...]) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """Of each scheme: number of vehicles, their groups (n, MAX_VEHICLES), and if a pedestrian is hit."""
    names = [scheme.rstrip("P") for scheme in schemes]
    groups = np.full((len(names), MAX_VEHICLES), GROUPS.index("c"))
    for row, name in enumerate(names):
        groups[row, : len(name)] = [GROUPS.index(letter) for letter in name]
    return (
        np.array([len(name) for name in names]),
        groups,
        np.array([scheme.endswith("P") for scheme in schemes]),
    )


def draw_vehicles(rng: np.random.Generator, calibration: Calibration, a: Columns, year: int) -> Columns:
    """Vehicles in the order of their accidents: `accident` is its row, `position` counts from 0 within it."""
    tables = calibration.tables
    size, groups, pedestrian = scheme_vehicles(calibration.schemes)
    many = size[a["scheme"]]
    pile_up = np.where(many == MAX_VEHICLES, np.minimum(rng.geometric(0.6, len(many)) - 1, 12), 0)
    accident = np.repeat(np.arange(len(many)), many + pile_up)
    slot = np.arange(len(accident)) - np.repeat(np.cumsum(many + pile_up) - many - pile_up, many + pile_up)
    group = groups[a["scheme"][accident], np.minimum(slot, MAX_VEHICLES - 1)]
    group = np.where(slot >= MAX_VEHICLES, GROUPS.index("c"), group)
    # Which vehicle comes first in the file says nothing of its kind.
    order = np.lexsort((rng.random(len(accident)), accident))
    v: Columns = {"accident": accident, "position": slot, "group": group[order]}
    n, inside = len(accident), a["built_up"][accident] - 1
    shape = calibration.shape_of_scheme[a["scheme"]][accident]
    crossing = (a["junction"][accident] > 1).astype(np.int64)
    v["fixed_obstacle"] = tables["fixed_obstacle"].draw(rng.random(n), shape, inside, v["group"])
    moving = tables["moving_obstacle"].draw(rng.random(n), shape, v["group"])
    hit = pedestrian[a["scheme"]][accident]
    v["moving_obstacle"] = np.where(hit & (slot == 0), 1, np.where(~hit & (moving == 1), 2, moving))
    v["impact"] = tables["impact"].draw(rng.random(n), shape, a["collision"][accident])
    v["manoeuvre"] = tables["manoeuvre"].draw(rng.random(n), shape, crossing, v["group"])
    v["direction"] = rng.choice(3, n, p=(0.97, 0.02, 0.01) if year < 2016 else (0.19, 0.47, 0.34))
    v["category"] = _category(rng, calibration, v["group"], inside, year)
    v["group"] = np.where(np.isin(v["category"], (50, 60)), GROUPS.index("e"), v["group"])
    v["engine"] = _engine(rng, v["group"], v["category"], year)
    v["occupants"] = np.where(v["group"] == GROUPS.index("t"), rng.geometric(0.08, n), 0)
    v["fled"] = _fled(rng, accident, (slot > 0) | hit)
    return v


def _fled(rng: np.random.Generator, accident: Ints, possible: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Vehicles that fled: one an accident at most, and never the only one in which someone can be hurt."""
    rows = np.flatnonzero(possible & (rng.random(len(accident)) < FLED))
    fled = np.zeros(len(accident), dtype=bool)
    fled[rows[np.unique(accident[rows], return_index=True)[1]]] = True
    return fled


def _category(
    rng: np.random.Generator, calibration: Calibration, group: Ints, inside: Ints, year: int
) -> Ints:
    """Category codes; since 2019 e-bikes and e-scooters take a growing part of the two-wheelers' place."""
    n = len(group)
    category = calibration.tables["category_2018" if year >= 2016 else "category_2013"].draw(
        rng.random(n), group
    )
    recent = min(max(year - E_SCOOTERS_SINCE + 1, 0), 6)
    bicycle, light = group == GROUPS.index("b"), group == GROUPS.index("l")
    scooter = rng.random(n) < 0.05 * recent
    category = np.where(
        (bicycle | light) & (inside == 1) & scooter, np.where(rng.random(n) < 0.9, 50, 60), category
    )
    return np.where((category == 1) & (rng.random(n) < 0.03 * recent), 80, category)


def _engine(rng: np.random.Generator, group: Ints, category: Ints, year: int) -> Ints:
    """Engine codes: petrol or diesel 1, hybrid 2, electric 3, human 5, unknown 0; electric cars grow."""
    late = max(year - 2018, 0)
    engine = rng.choice(
        4, len(group), p=(0.09, 0.91 - 0.02 * min(late, 8), 0.01 * min(late, 8), 0.01 * min(late, 8))
    )
    engine = np.where(np.isin(category, (50, 80)), 3, engine)
    return np.where(np.isin(category, (1, 60)), 5, engine)


# ---------------------------------------------------------------- users


def draw_users(rng: np.random.Generator, calibration: Calibration, a: Columns, v: Columns) -> Columns:
    """Drivers, passengers and pedestrians, in the order of their accidents; `vehicle` is a row of `v`."""
    tables, vehicles = calibration.tables, len(v["accident"])
    riders = tables["passengers"].draw(rng.random(vehicles), v["group"])
    first_hit = (v["moving_obstacle"] == 1) & (v["position"] == 0)
    walkers = np.where(first_hit, tables["pedestrians"].draw(rng.random(vehicles)), 0)
    many = 1 + riders + walkers
    vehicle = np.repeat(np.arange(vehicles), many)
    slot = np.arange(len(vehicle)) - np.repeat(np.cumsum(many) - many, many)
    role = np.where(slot == 0, 1, np.where(slot <= riders[vehicle], 2, 3))
    n, group = len(vehicle), v["group"][vehicle]
    u: Columns = {"accident": v["accident"][vehicle], "vehicle": vehicle, "role": role, "group": group}
    u["sex"] = tables["sex"].draw(rng.random(n), role - 1, group)
    u["age"] = _age(rng, tables["age_band"].draw(rng.random(n), role - 1, group), role)
    u["trip"] = tables["trip"].draw(rng.random(n), role - 1, period(a["hour"])[u["accident"]])
    u["equipment"] = np.where(role == 3, 0, tables["equipment"].draw(rng.random(n), role - 1, group))
    u["seat"] = np.where(role == 1, 1, np.where(role == 3, 0, tables["seat"].draw(rng.random(n), group)))
    on_foot = role == 3
    for name in ("location", "action", "company"):
        column = f"pedestrian_{name}"
        u[column] = np.where(on_foot, tables[column].draw(rng.random(n)), 0)
    u["fled"] = v["fled"][vehicle] & (role == 1)
    return u


def _age(rng: np.random.Generator, band: Ints, role: Ints) -> Ints:
    """Years of age within the five-year band; drivers are 14 or older."""
    age = band * 5 + rng.integers(0, 5, len(band))
    return np.where((role == 1) & (age < 14), age + 14, age)
