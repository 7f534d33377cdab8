"""Rows that are read, joined and hidden a stretch at a time: the same trees, in less memory."""

from __future__ import annotations

import subprocess
import sys

import lightgbm
import numpy as np
import pytest

from accidents.features import STAGES, feature_names
from accidents.training import tree_inputs
from accidents.training.fit_bags import boost, bytes_by_row, labelled
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import cross_fit
from accidents.training.trained_model import Floats, Layout, tree_columns
from accidents.training.tree_inputs import LabelledRows, TreeInputs, unseen_inputs
from tests.accidents.frames import feature_frame
from tests.conftest import ROOT

NAMES = feature_names("dispatch")
X, Y = labelled(feature_frame(3_000), NAMES)
ROWS = LabelledRows.of(X, Y, NAMES)
SMALL = ModelSettings(n_estimators=20, n_jobs=1)


def read_in_parts(start: int, stop: int) -> Floats:
    """As from files: never more than what is asked for."""
    assert 0 <= start < stop <= len(X)
    assert stop - start <= 700
    return X[start:stop].copy()


def test_stretches_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = np.flatnonzero(np.arange(len(Y)) % 3 > 0)
    inputs = TreeInputs(ROWS, chosen, 0.5, seed=3, scale=1.5)
    whole = inputs.rows(0, len(inputs))
    monkeypatch.setattr(tree_inputs, "STRETCH", 170)
    stretches = list(inputs.stretches())
    assert len(stretches) > 15
    np.testing.assert_array_equal(whole, np.concatenate([rows for _, rows in stretches]))
    known = Layout(NAMES).join(X[chosen], cross_fit(ROWS.place[chosen], Y[chosen], 3, scale=1.5))
    np.testing.assert_array_equal(whole[: len(chosen)], known)
    again = whole[len(chosen) :]
    assert 0.4 < len(again) / len(chosen) < 0.6
    assert np.isnan(again).mean() > np.isnan(known).mean() + 0.2, "of these some is hidden"
    assert inputs.labels[: len(chosen)].tolist() == Y[chosen].tolist()


def test_rows_are_not_asked_for_twice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_inputs, "STRETCH", 300)
    monkeypatch.setattr(tree_inputs, "SAMPLE", 1_000)
    every = np.arange(len(Y))
    read = LabelledRows(NAMES, ROWS.place, Y, read_in_parts)
    booster = boost(read, every, SMALL, "dispatch", seed=1, bag=0)
    assert booster.text == boost(ROWS, every, SMALL, "dispatch", seed=1, bag=0).text
    held = np.random.default_rng(0).random(len(Y)) < 0.1
    np.testing.assert_array_equal(unseen_inputs(read, held, 1.1), unseen_inputs(ROWS, held, 1.1))


def test_rows_far_apart_are_read_a_stretch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_inputs, "STRETCH", 300)
    few = np.array([0, 1, 299, 300, 1_500, 2_999])
    read = LabelledRows(NAMES, ROWS.place, Y, read_in_parts)
    np.testing.assert_array_equal(read.at(few), X[few])


def test_a_feature_that_is_rare_in_the_sample_is_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_inputs, "SAMPLE", 1_000)
    name, rare, x, y = "speed_limit", np.arange(len(X)) % 50 == 0, X.copy(), Y.copy()
    x[:, NAMES.index(name)], y[rare] = rare, 1
    params = {"objective": "binary", "min_child_samples": 40, "verbosity": -1, "num_threads": 1}
    inputs = TreeInputs(LabelledRows.of(x, y, NAMES), np.arange(len(x)), 0.0, seed=1, scale=1.0)
    trees = lightgbm.train(params, tree_inputs.dataset_of(inputs, params), 5)
    assert trees.feature_importance()[tree_columns(NAMES).index(name)] > 0


def test_bounds_of_bins_from_a_sample_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    every, later = np.arange(len(Y)), feature_frame(3_000, seed=1)
    inputs = unseen_inputs(
        LabelledRows.of(
            *(np.concatenate(both) for both in zip((X, Y), labelled(later, NAMES), strict=True)), NAMES
        ),
        np.arange(6_000) >= 3_000,
        1.0,
    )
    scores = {}
    for most in (200_000, 1_000):
        monkeypatch.setattr(tree_inputs, "SAMPLE", most)
        scores[most] = boost(ROWS, every, SMALL, "dispatch", seed=1, bag=0).score(inputs)
    assert np.corrcoef(scores[200_000], scores[1_000])[0, 1] > 0.99
    assert (scores[200_000] != scores[1_000]).any(), "the sample was used"


def test_one_thread_and_two_grow_the_same_trees() -> None:
    """Engines that grow a bag on one thread of a worker, or on all of a machine, have one digest."""
    both = [
        boost(ROWS, np.arange(len(Y)), SMALL.model_copy(update={"n_jobs": n}), "dispatch", 1, 0)
        for n in (1, 2)
    ]
    one, two = (booster.text.partition("\nparameters:")[0] for booster in both)
    assert one == two


def test_in_little_memory_one_thread_goes_column_by_column_and_grows_the_same_trees() -> None:
    every = np.arange(len(Y))
    needed = bytes_by_row(len(tree_columns(NAMES))) * len(TreeInputs(ROWS, every, SMALL.masked, 2, 1.0))
    grown = [boost(ROWS, every, SMALL, "dispatch", 1, 1, memory=m).text for m in (needed, needed - 1)]
    assert "[force_row_wise: 1]" in grown[0]
    assert "[force_col_wise: 1]" in grown[1]
    by_row, by_column = (text.partition("\nparameters:")[0] for text in grown)
    assert by_row == by_column


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("way", ["by-column", "by-row"])
def test_memory_stays_below_what_was_reckoned(way: str, stage: str) -> None:
    """A process that may take so much ends; column by column that is less than the rows' size."""
    command = [sys.executable, "-m", "tests.accidents.training.grow_in_little_memory", way, stage]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    size, allowed = map(int, done.stdout.split())
    assert way == "by-row" or allowed < size
