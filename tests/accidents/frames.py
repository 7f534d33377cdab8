"""Feature frames for tests of evaluation: every column that `build_features` gives, some of them varied."""

from __future__ import annotations

import numpy as np
import pandas as pd

from accidents.features import feature_names

USUAL_SPEED = 72  # km/h


def feature_frame(n: int = 2_000, seed: int = 0) -> pd.DataFrame:
    """n accidents of 2022 with labels that depend on pedestrian, motorcycle and speed limit."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: np.full(n, np.nan, np.float32) for name in feature_names("dispatch")})
    frame["accident_id"] = np.arange(n)
    frame["year"], frame["month"] = np.int16(2022), rng.integers(1, 13, n).astype(np.int8)
    frame["hour"], frame["light"] = rng.integers(0, 24, n), rng.integers(1, 6, n)
    frame["built_up"], frame["road_class"] = rng.integers(1, 3, n), rng.integers(3, 5, n)
    frame["department"] = rng.choice([75, 59, 201, 974], n, p=[0.5, 0.3, 0.19, 0.01])
    frame["commune"] = frame["department"] * 1_000 + rng.integers(1, 6, n)
    frame["latitude"], frame["longitude"] = rng.uniform(43, 50, n), rng.uniform(-1, 6, n)
    frame["speed_limit"] = rng.choice([30, 50, 80, 130], n)
    frame["pedestrian"] = rng.random(n) < 0.2
    frame["motorcycles"], frame["bicycles"], frame["mopeds"] = rng.random(n) < 0.2, rng.random(n) < 0.1, 0
    frame["cars"] = rng.integers(0, 4, n)
    frame["lightest"], frame["heaviest"] = 4, 4
    frame["severe"] = rng.random(n) < risk(frame)
    return frame.astype(dict.fromkeys((*feature_names("dispatch"), "severe"), np.float32))


def risk(frame: pd.DataFrame) -> np.ndarray:
    """The true P(severe) of those accidents; a speed limit that is not known is taken for a usual one."""
    speed = frame["speed_limit"].fillna(USUAL_SPEED)
    score = frame["pedestrian"] + frame["motorcycles"] + 0.5 * frame["bicycles"] + speed / 50 - 3
    return np.asarray(1 / (1 + np.exp(-score.to_numpy(float))))


def risk_without_speed(frame: pd.DataFrame) -> np.ndarray:
    """The same for a model that does not know the speed limit."""
    return risk(frame.assign(speed_limit=50))
