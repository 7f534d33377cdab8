"""What is hidden in training: whole statements, from nearly none to nearly all; and what it is good for."""

from __future__ import annotations

import numpy as np
import pytest

from accidents.features import feature_names
from accidents.training.fit_bags import train
from accidents.training.masking import groups, hide
from accidents.training.model_settings import ModelSettings
from accidents.training.trained_model import tree_columns
from tests.accidents.frames import feature_frame

COLUMNS = tree_columns(feature_names("on_scene"))


def test_what_is_said_in_one_word_is_hidden_together() -> None:
    group = dict(zip(COLUMNS, groups(COLUMNS).tolist(), strict=True))
    together = [
        {"latitude", "longitude", "density_1km", "severity_30km"},
        {"vehicles", "cars", "motorcycles", "lightest", "heaviest"},
        {"hit_tree", "left_road"},
        {"light"},
        {"severity_commune"},
    ]
    numbers = [{group[name] for name in names} for names in together]
    assert all(len(one) == 1 for one in numbers)
    assert len(set().union(*numbers)) == len(together)


def test_rows_lose_from_nearly_nothing_to_nearly_everything() -> None:
    known = np.zeros((4_000, len(COLUMNS)), dtype=np.float32)
    share = np.isnan(hide(known, COLUMNS, seed=1)).mean(axis=1)
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert (share < 0.1).mean() > 0.05
    assert (share > 0.9).mean() > 0.05
    assert not np.isnan(known).any()  # a copy


def test_the_same_seed_hides_the_same() -> None:
    known = np.zeros((50, len(COLUMNS)), dtype=np.float32)
    np.testing.assert_array_equal(hide(known, COLUMNS, 3), hide(known, COLUMNS, 3))


def test_a_stretch_hides_what_it_would_with_all_others() -> None:
    known = np.zeros((50, len(COLUMNS)), dtype=np.float32)
    np.testing.assert_array_equal(hide(known, COLUMNS, 3)[20:35], hide(known[20:35], COLUMNS, 3, 20, 50))


def test_a_model_that_has_seen_little_said_is_not_thrown_by_it() -> None:
    """Without masking the trees send what they have never seen missing down any branch."""
    frame = feature_frame(4_000)
    little = frame.assign(speed_limit=np.float32(np.nan), motorcycles=np.float32(np.nan))
    errors = {}
    for masked in (0.0, 0.5):
        settings = ModelSettings(bags=1, n_estimators=80, masked=masked)
        model = train(frame[:2_000], frame[2_000:3_000], settings, "dispatch", 7)
        errors[masked] = abs(
            float(model.predict_proba(little[3_000:]).mean() - frame["severe"][3_000:].mean())
        )
    assert errors[0.5] < 0.05
    assert errors[0.5] < errors[0.0]
