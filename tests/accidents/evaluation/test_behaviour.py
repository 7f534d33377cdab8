"""Behavioural checks: they pass sane models and catch planted quirks."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from accidents.evaluation.behaviour import CHECKS, _swap_communes, behaviour_checks
from tests.accidents.frames import feature_frame, risk, risk_without_speed

FRAME = feature_frame()


def outcomes(predict, frame: pd.DataFrame = FRAME) -> dict[str, bool | None]:
    return {result.check: result.passed for result in behaviour_checks(predict, frame, threshold=0.5)}


def test_a_sane_model_passes_every_check():
    assert outcomes(risk) == {check.name: True for check in CHECKS}


def test_a_model_that_thinks_nothing_passes():
    assert set(outcomes(lambda frame: np.full(len(frame), 0.4)).values()) == {True}


QUIRKS = {
    "higher_speed_limit": lambda frame: 1 - frame["speed_limit"] / 200,
    "pedestrian_involved": lambda frame: 0.6 - 0.3 * frame["pedestrian"],
    "motorcycle_for_car": lambda frame: 0.6 - 0.3 * (frame["motorcycles"] > 0),
    "bicycle_for_car": lambda frame: 0.2 + 0.1 * frame["lightest"],
    "no_coordinates": lambda frame: 0.3 + 0.4 * frame["latitude"].isna(),
    "little_said": lambda frame: 0.3 + 0.1 * frame["speed_limit"].isna(),
    "lookalike_commune": lambda frame: (frame["commune"] * 7919 % 101) / 101,
}


@pytest.mark.parametrize("check", QUIRKS)
def test_a_planted_quirk_is_caught(check: str):
    assert outcomes(QUIRKS[check])[check] is False


def test_falling_for_a_few_is_caught_even_if_the_mean_rises():
    def quirk(frame: pd.DataFrame) -> pd.Series:
        return 0.5 + 0.3 * frame["pedestrian"] * np.where(frame["hour"] < 3, -1, 1)

    assert outcomes(quirk)["pedestrian_involved"] is False


def test_a_model_that_answers_nan_passes_nothing_that_rises():
    found = outcomes(lambda frame: np.full(len(frame), np.nan))
    assert not any(found[check.name] for check in CHECKS)


def test_what_the_data_does_not_state_is_not_run_and_not_passed():
    results = behaviour_checks(risk_without_speed, FRAME.assign(speed_limit=np.float32(np.nan)), 0.5)
    speed = next(result for result in results if result.check == "higher_speed_limit")
    assert (speed.passed, speed.accidents) == (None, 0)
    assert "not run" in speed.measured
    json.dumps([result.to_dict() for result in results], allow_nan=False)


def test_swapped_accidents_stay_in_department_and_change_commune():
    changed = _swap_communes(FRAME, np.random.default_rng(0))
    before = FRAME.loc[changed.index]
    assert len(changed) > 1_000
    assert (changed["commune"] != before["commune"]).all()
    assert (changed["commune"] // 1_000 == before["department"]).all()
    kept = changed.columns.difference(["commune", "latitude", "longitude"])
    pd.testing.assert_frame_equal(changed[kept], before[kept])


def test_squares_stand_for_communes_that_are_not_published():
    unpublished = FRAME.assign(commune=np.float32(np.nan), department=np.float32(np.nan))
    changed = _swap_communes(unpublished, np.random.default_rng(0))
    moved = (changed["latitude"] - FRAME["latitude"].loc[changed.index]).abs()
    assert len(changed) > 100
    assert moved.max() <= 1


def test_the_frame_given_is_left_alone():
    before = FRAME.copy()
    behaviour_checks(risk, FRAME, 0.5)
    pd.testing.assert_frame_equal(FRAME, before)
