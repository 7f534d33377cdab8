"""Behavioural checks: change one thing about real accidents; the risk must move as common sense says.

They need no labels, and catch what averages hide: a model that learnt a quirk of how accidents are written
down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.features import build_one
from accidents.features.features_by_stage import FEATURES

Predict = Callable[[pd.DataFrame], npt.NDArray[Any]]
Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]

NOISE = 0.01  # a change of risk smaller than this is none
CLEARLY = 0.1  # a change of risk that is more than a toss-up
LITTLE = 0.05  # a change of the mean risk that does no harm
ROWS = 20_000  # enough for shares to within half a per cent
_MOTORCYCLE, _BICYCLE = 33, 1  # vehicle categories: over 125 cc; bicycle


@dataclass(frozen=True)
class Check:
    """One change, and what it may do to the risk.

    `change` gives the changed accidents, for those rows alone that it makes sense for (index kept).
    rises: the mean risk may not fall, and may fall for `largest_share` of the accidents.
    keeps: the decision (alert or not) may flip, the risk moving by 0.1 or more, for `largest_share` of them;
    an accident nearer to the threshold than that is a toss-up anyway.
    holds: the mean risk may move by 0.05 at most: saying less must not raise or lower the risk of them all.
    """

    name: str
    title: str
    expects: Literal["rises", "keeps", "holds"]
    change: Change
    largest_share: float

    @property
    def wanted(self) -> str:
        """The expectation in words."""
        if self.expects == "keeps":
            return f"the decision flips, by {CLEARLY} or more, for at most {self.largest_share:.0%}"
        if self.expects == "holds":
            return f"the mean risk moves by at most {LITTLE}"
        return f"the mean risk does not fall, and it falls for at most {self.largest_share:.0%}"


@dataclass(frozen=True)
class BehaviourResult:
    """A check as it went; `passed` is None, and the numbers NaN, where no accident could be changed.

    mean_change : mean change of P(severe). against : share of accidents that moved the wrong way (or
        flipped).
    """

    check: str
    title: str
    wanted: str
    accidents: int
    mean_change: float
    against: float
    passed: bool | None

    @property
    def measured(self) -> str:
        """What was seen, in words."""
        if self.passed is None:
            return "not run: no accident in the data states what would have to be changed"
        wrong = f"{self.against:.1%} of {self.accidents:,} accidents"
        return f"mean change {self.mean_change:+.3f}, against the expectation for {wrong}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        values = asdict(self)
        if self.passed is None:
            values.update(mean_change=None, against=None)
        return values


def behaviour_checks(
    predict: Predict, frame: pd.DataFrame, threshold: float, seed: int = 7
) -> tuple[BehaviourResult, ...]:
    """Run every check on at most 20,000 accidents.

    Parameters
    ----------
    predict : P(severe), shape (n,), of a frame as `build_features` gives it.
    frame : the test accidents; labels are not looked at.
    threshold : P(severe) from which an accident is alerted.
    """
    rows, rng = checked_rows(len(frame), seed)
    return run_checks(predict, frame.iloc[rows].reset_index(drop=True), threshold, rng)


def checked_rows(accidents: int, seed: int) -> tuple[npt.NDArray[np.int64], np.random.Generator]:
    """Return which of so many accidents are changed, and the random stream that `run_checks` goes on with."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.permutation(accidents)[:ROWS]), rng


def run_checks(
    predict: Predict, accidents: pd.DataFrame, threshold: float, rng: np.random.Generator
) -> tuple[BehaviourResult, ...]:
    """Run every check on these accidents, whose index counts from 0."""
    before = np.asarray(predict(accidents), dtype=float)
    return tuple(_run(check, predict, accidents, before, threshold, rng) for check in CHECKS)


def _run(
    check: Check,
    predict: Predict,
    accidents: pd.DataFrame,
    before: npt.NDArray[np.float64],
    threshold: float,
    rng: np.random.Generator,
) -> BehaviourResult:
    changed = check.change(accidents, rng)
    if changed.empty:
        nan = float("nan")
        return BehaviourResult(check.name, check.title, check.wanted, 0, nan, nan, None)
    old, new = before[changed.index], np.asarray(predict(changed.reset_index(drop=True)), dtype=float)
    flipped = ((old >= threshold) != (new >= threshold)) & (np.abs(new - old) >= CLEARLY)
    wrong = new < old - NOISE if check.expects == "rises" else flipped
    mean, against = float((new - old).mean()), float(wrong.mean())
    # An undefined mean (a model that answers NaN) compares as False, and so fails.
    moved_well = {"rises": mean >= 0, "keeps": abs(mean) <= 1, "holds": abs(mean) <= LITTLE}[check.expects]
    passed = against <= check.largest_share and moved_well
    return BehaviourResult(check.name, check.title, check.wanted, len(changed), mean, against, bool(passed))


def _faster(accidents: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    changed = accidents[accidents["speed_limit"] <= 110].copy()
    changed["speed_limit"] += 20
    return changed


def _pedestrian(accidents: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    changed = accidents[accidents["pedestrian"] == 0].copy()
    changed["pedestrian"] = np.float32(1)
    if "pedestrians" in changed:
        changed["pedestrians"] = np.float32(1)
    return changed


def _instead_of_a_car(feature: str, category: int) -> Change:
    """Make one of several cars a two-wheeler, where there is none; another car stays, and so `heaviest`."""

    def change(accidents: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
        only_cars = (accidents[["bicycles", "mopeds", "motorcycles"]] == 0).all(axis=1) & (
            accidents["cars"] >= 2
        )
        changed = accidents[only_cars].copy()
        changed["cars"] -= 1
        changed[feature] = np.float32(1)
        changed["lightest"] = np.float32(build_one({"vehicles": [{"category": category}]})["lightest"])
        return changed

    return change


def _swap_communes(accidents: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Each accident in the place of another, in a look-alike commune.

    Look-alike: same département, built-up or not, road class, and about as many accidents (within a factor of
    two). Where the commune is not published, a square of 0.1 degrees stands for it, and one degree for the
    département.
    """
    place = pd.DataFrame({"commune": _commune(accidents), "department": _department(accidents)}).dropna()
    size = np.floor(np.log2(place["commune"].map(place["commune"].value_counts()))).astype(int)
    alike = place.assign(size=size, built_up=accidents["built_up"], road_class=accidents["road_class"])
    shuffled = alike.iloc[rng.permutation(len(alike))]
    keys = ["department", "size", "built_up", "road_class"]
    group = shuffled.groupby(keys, dropna=False).ngroup().to_numpy()
    shuffled = shuffled.iloc[np.argsort(group, kind="stable")]
    group = np.sort(group)
    same_group = group == np.roll(group, -1)
    other_commune = shuffled["commune"].to_numpy() != np.roll(shuffled["commune"].to_numpy(), -1)
    swapped = same_group & other_commune
    here, there = shuffled.index[swapped], shuffled.index[np.roll(np.arange(len(shuffled)), -1)[swapped]]
    changed: pd.DataFrame = accidents.loc[here].copy()
    columns = ["commune", "latitude", "longitude"]
    changed[columns] = accidents.loc[there, columns].to_numpy()
    return changed


def _commune(accidents: pd.DataFrame) -> pd.Series[float]:
    square = (accidents["latitude"] * 10).round() * 10_000 + (accidents["longitude"] * 10).round()
    return accidents["commune"].fillna(-square)


def _department(accidents: pd.DataFrame) -> pd.Series[float]:
    square = accidents["latitude"].round() * 1_000 + accidents["longitude"].round()
    return accidents["department"].fillna(-square)


def _hide(kept: Callable[[str], bool]) -> Change:
    """Accidents of which only the features that `kept` says are known."""

    def change(accidents: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
        hidden = [name for name in accidents if name in _FEATURES and not kept(str(name))]
        changed = accidents[accidents["latitude"].notna()].copy()
        changed[hidden] = np.float32(np.nan)
        return changed

    return change


_FEATURES = frozenset(feature.name for feature in FEATURES)
_SAID_AT_ONCE = frozenset({"hour", "weekday", "department", "commune", "latitude", "longitude", "light",
                           "built_up", "pedestrian", "vehicles", "bicycles", "mopeds", "motorcycles", "cars",
                           "vans", "lorries", "public_transport", "machines", "lightest",
                           "heaviest"})  # fmt: skip

CHECKS: tuple[Check, ...] = (
    Check("higher_speed_limit", "The speed limit is 20 km/h higher", "rises", _faster, 0.05),
    Check("pedestrian_involved", "A pedestrian is hit too", "rises", _pedestrian, 0.05),
    Check("motorcycle_for_car", "One of the cars is a motorcycle", "rises",
          _instead_of_a_car("motorcycles", _MOTORCYCLE), 0.05),
    Check("bicycle_for_car", "One of the cars is a bicycle", "rises",
          _instead_of_a_car("bicycles", _BICYCLE), 0.05),
    Check("lookalike_commune", "The same in a look-alike commune", "keeps",
          _swap_communes, 0.10),
    Check("no_coordinates", "The place is known by name alone", "holds",
          _hide(lambda name: name not in ("latitude", "longitude")), 1.0),
    Check("little_said", "Only time, place, light, vehicles and pedestrians are known", "holds",
          _hide(_SAID_AT_ONCE.__contains__), 1.0),
)  # fmt: skip
