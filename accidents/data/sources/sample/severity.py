"""How badly hurt the people of a synthetic accident are: the sample's truth.

An accident is severe with a probability whose logit is a sum of terms fitted on real years, a smooth spatial
field and a level per year. Then the accident's users get severities that agree with it: in a severe accident
at least one is killed or hospitalised, in another at least one is slightly injured and none is worse.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from accidents.data.sources.sample.tables import (
    CLASSES,
    GROUPS,
    Calibration,
    Columns,
    Doubles,
    Flags,
    Ints,
    road_group,
)

RAW_CODES = {
    "light": "lum",
    "built_up": "agg",
    "junction": "int",
    "weather": "atm",
    "collision": "col",
    "road_class": "catr",
    "layout": "circ",
    "lanes": "nbv",
    "reserved_lane": "vosp",
    "gradient": "prof",
    "alignment": "plan",
    "surface": "surf",
    "infrastructure": "infra",
    "position": "situ",
    "near_school": "env1",
    "road_width": "larrout",
}
"""Our column name to the published one, for the coded columns of an accident and its place."""

FIELD_SD = 0.35  # smooth neighbourhood effect, log-odds
FIELD_KM = 12.0
PLACE_SD = 0.35  # what is left per commune
MONTHS_OF, OTHER_YEARS = 2018, 0.15  # severity fell through 2018 (recording break); in 2021 it hardly did
ON_SCENE = 0.7  # obstacle and impact: less than fitted, for they are told by place and collision in part
COLLISION = 0.5  # the same for the manner of collision, which was fitted on another year
MORE_SEVERE = 1.5  # log-odds that a further user is severe in a severe accident are lower by this: 1.14 are
LESS_SLIGHT = 0.55  # the same for slight injuries, of which each other accident has one at least


def log_odds(flags: npt.NDArray[Any]) -> float:
    """Log-odds of a share, of one more on each side so that it is finite."""
    return round(float(logit((np.sum(flags) + 1) / (len(flags) + 2))), 2)


def accident_sizes(schemes: int, departments: int) -> dict[str, int]:
    """Return the number of levels of each term of `accident_terms`."""
    return {
        "scheme": schemes,
        "road": 20,
        "class_place": CLASSES * 10,
        "class_dark": CLASSES * 4,
        "hour": 48,
        "month": 12,
        "light": 12,
        "weather": 10,
        "surface": 10,
        "junction": 20,
        "layout": 10,
        "lanes": 9,
        "gradient": 5,
        "alignment": 10,
        "infrastructure": 10,
        "reserved_lane": 4,
        "department": departments,
    }


def accident_terms(a: Columns, class_of_scheme: npt.NDArray[Any]) -> dict[str, Ints]:
    """Level of each term of the logit for each accident; `scheme` and `department_index` count from 0."""
    inside = (a["built_up"] == 2).astype(np.int64)
    kind = class_of_scheme[a["scheme"]]
    dark = np.isin(a["light"], (3, 4, 5)).astype(np.int64)
    return {
        "scheme": a["scheme"],
        "road": a["road_class"] * 2 + inside,
        "class_place": kind * 10 + inside * 5 + road_group(a["road_class"]),
        "class_dark": kind * 4 + inside * 2 + dark,
        "hour": a["hour"] * 2 + inside,
        "month": a["month"] - 1,
        "light": a["light"] * 2 + inside,
        "weather": a["weather"],
        "surface": a["surface"],
        "junction": a["junction"] * 2 + inside,
        "layout": a["layout"] * 2 + inside,
        "lanes": np.minimum(a["lanes"], 8),
        "gradient": a["gradient"],
        "alignment": a["alignment"] * 2 + inside,
        "infrastructure": a["infrastructure"],
        "reserved_lane": a["reserved_lane"],
        "department": a["department_index"],
    }


def neighbourhood(calibration: Calibration, seed: int) -> Doubles:
    """Log-odds effect of each place, the same in all years: a smooth random field and noise of its own."""
    rng = np.random.default_rng([seed, 2])
    lat, lon = calibration.places["lat"], calibration.places["lon"]
    position = np.column_stack((lat * 111.0, lon * 111.0 * np.cos(np.radians(lat))))
    waves = rng.normal(scale=1.0 / FIELD_KM, size=(2, 100))
    smooth = np.sqrt(2 / 100) * np.cos(position @ waves + rng.uniform(0, 2 * np.pi, 100)).sum(axis=1)
    effect = FIELD_SD * smooth + PLACE_SD * rng.standard_normal(len(lat))
    # By accidents its mean is 0 and its size as documented, so that every seed has as many severe accidents.
    weight = calibration.places["inside"] + calibration.places["outside"]
    effect = effect - np.average(effect, weights=weight)
    scaled: Doubles = effect * np.hypot(FIELD_SD, PLACE_SD) / np.sqrt(np.average(effect**2, weights=weight))
    return scaled


def year_level(calibration: Calibration, year: int) -> float:
    """Log-odds of a year against 2018: the recording break of 2018, then a fall (34 % severe in 2021)."""
    levels = np.asarray(calibration.users["year"])
    if year >= 2018:
        return -0.08 * min(year - 2018, 3)
    return float(1.3 * (levels[:13].mean() - levels[13]) + 0.01 * (2011 - year))


def accident_logit(
    calibration: Calibration, a: Columns, v: Columns, u: Columns, year: int, seed: int
) -> Doubles:
    """Log-odds (n,) that an accident is severe."""
    fitted = calibration.severity
    schemes = calibration.class_of_scheme
    score = np.zeros(len(a["hour"]))
    for name, level in accident_terms(a, schemes).items():
        weight = OTHER_YEARS if name == "month" and year != MONTHS_OF else 1.0
        score += weight * np.asarray(fitted["terms"][name])[level]
    for name in ("fixed_obstacle", "impact"):
        effect = np.asarray(fitted["terms"][name])[v[name]]
        score += ON_SCENE * np.bincount(v["accident"], weights=effect, minlength=len(score))
    score += (
        np.asarray(fitted["weekday"])[a["weekday"]]
        + COLLISION * np.asarray(fitted["collision"])[a["collision"]]
    )
    score += speed_effect(calibration, a) + age_effect(u, len(score))
    score += neighbourhood(calibration, seed)[a["place"]]
    # The sample's columns are less tied to each other than real ones, which shrinks the spread of the logit:
    # `spread` widens it until a model scores on the sample what it scores on real 2018.
    wide: Doubles = fitted["spread"] * (score - fitted["centre"])
    return wide + float(fitted["level"]) + year_level(calibration, year)


def speed_effect(calibration: Calibration, a: Columns) -> Doubles:
    """Effect of the speed limit beyond what road class and built-up area tell."""
    limits, effects = (np.asarray(calibration.severity[k]) for k in ("speed_limits", "speed_limit"))
    effect: Doubles = effects[np.searchsorted(limits, a["speed_limit"])]
    context = a["road_class"] * 2 + (a["built_up"] == 2)
    mean = np.bincount(context, weights=effect, minlength=20) / np.maximum(
        np.bincount(context, minlength=20), 1
    )
    beyond: Doubles = effect - mean[context]
    return beyond


def age_effect(u: Columns, accidents: int) -> Doubles:
    """Effect of the oldest struck pedestrian's age: from 55 on upwards, about 0 on average."""
    oldest = np.zeros(accidents)
    np.maximum.at(oldest, u["accident"], np.where(u["role"] == 3, u["age"], 0))
    return np.where(oldest > 0, 0.02 * np.maximum(oldest - 55, 0) - 0.12, 0.0)


def draw_severe(rng: np.random.Generator, score: Doubles) -> Flags:
    """Whether each accident is severe."""
    severe: Flags = rng.random(len(score)) < expit(score)
    return severe


def user_severity(
    rng: np.random.Generator, calibration: Calibration, a: Columns, u: Columns, severe: Flags
) -> Ints:
    """Severity code of each user: 1 unharmed, 2 killed, 3 hospitalised, 4 slightly injured."""
    of, risk = u["accident"], calibration.users
    role = u["role"] - 1
    score = np.asarray(risk["role_group"])[role * len(GROUPS) + u["group"]]
    score = score + np.asarray(risk["role_age"])[role * 20 + np.minimum(u["age"] // 5, 19)]
    score = np.where(u["fled"], -np.inf, score)  # who fled is not known to be hurt
    worst = _one_each(rng, of, score, len(severe))
    others = rng.random(len(of)) < expit(score - MORE_SEVERE)
    hurt = severe[of] & (worst | others)
    key = (a["built_up"] == 2) * 5 + road_group(a["road_class"])
    killed = hurt & (rng.random(len(of)) < expit(np.asarray(risk_killed(calibration))[key])[of])
    slight = rng.random(len(of)) < expit(np.asarray(risk["slight"])[role] + 0.3 * score - LESS_SLIGHT)
    slight |= worst  # an accident without a severe victim has a slight one
    return np.where(killed, 2, np.where(hurt, 3, np.where(slight, 4, 1)))


def risk_killed(calibration: Calibration) -> Doubles:
    """Log-odds that a severe victim is killed, by built-up area and road group."""
    # Fitted per accident; some have several victims, of whom not all are killed.
    return np.asarray(calibration.severity["killed"], dtype=float) - 0.15


def _one_each(rng: np.random.Generator, of: Ints, score: Doubles, n: int) -> Flags:
    """Mark one user of each accident, by odds exp(score): the largest of Gumbel-perturbed scores."""
    noisy = score + rng.gumbel(size=len(of))
    best = np.full(n, -np.inf)
    np.maximum.at(best, of, noisy)
    first: Flags = noisy == best[of]
    return first
