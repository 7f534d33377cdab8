"""The refit: learns from every row, and what it says of rows out of fold is honest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from accidents.evaluation.metrics import evaluate
from accidents.features import feature_names
from accidents.params import Params
from accidents.promotion.refit_gate import check_refit
from accidents.training.fit_bags import labelled, train
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import PlaceEncoder
from accidents.training.refit import (
    Refit,
    folds,
    months_before_the_last,
    put_together,
    recency,
    refit,
    refit_bag,
)
from accidents.training.trained_model import Model
from accidents.training.tree_inputs import LabelledRows
from tests.accidents.frames import feature_frame

SMALL = ModelSettings(bags=4, n_estimators=30, n_jobs=1, num_leaves=31, min_child_samples=5)
PARAMS = Params.model_validate({"evaluation": {"n_bootstrap": 100}})


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return feature_frame(3_000)


@pytest.fixture(scope="module")
def made(rows: pd.DataFrame) -> Refit:
    return refit(rows, SMALL, "dispatch", 7)


def test_scores_out_of_fold_are_of_rows_that_did_not_teach(made: Refit, rows: pd.DataFrame):
    """Labels of pure chance: whoever has seen a row's label, in trees or places, guesses it."""
    noise = rows.assign(severe=np.random.default_rng(1).integers(0, 2, len(rows)).astype(np.float32))
    found = refit(noise, SMALL, "dispatch", 7)
    known = ~np.isnan(found.unseen)
    assert abs(roc_auc_score(noise["severe"][known], found.unseen[known]) - 0.5) < 0.05


def test_accidents_of_before_the_last_year_are_in_every_bag(rows: pd.DataFrame):
    old = rows.assign(year=np.int16(2021))
    found = refit(pd.concat([old, rows]), SMALL, "dispatch", 7)
    assert np.isnan(found.unseen[: len(rows)]).all()
    assert (~np.isnan(found.unseen[len(rows) :])).mean() == pytest.approx(0.4, abs=0.03)


def test_it_is_calibrated_on_accidents_that_it_has_not_seen(made: Refit):
    later = feature_frame(20_000, seed=1)
    assert evaluate(later["severe"], made.model.predict_proba(later), n_bootstrap=0)["ece"].value < 0.03


def put_together_of(rows: pd.DataFrame, bags: int) -> tuple[Callable[[np.ndarray], Refit], np.ndarray]:
    """Return what makes a refit of labels, with bags and scores as they are, and the fold of each row."""
    names, settings = feature_names("dispatch"), SMALL.model_copy(update={"bags": bags})
    known, age = LabelledRows.of(*labelled(rows, names), names), months_before_the_last(rows)
    fold = folds(age, settings, 7)
    fitted = [refit_bag(known, fold == bag, settings, "dispatch", 7, bag) for bag in range(bags)]
    places = PlaceEncoder.fit(known.place, known.y)
    return lambda y: put_together(fitted, places, y, age, fold, "dispatch"), fold


def test_no_label_of_a_fold_calibrates_what_is_said_of_it(rows: pd.DataFrame):
    made_of, fold = put_together_of(rows, 3)
    labels = rows["severe"].to_numpy(np.float32)
    before, after = (made_of(y).unseen for y in (labels, np.where(fold == 1, 1 - labels, labels)))
    np.testing.assert_array_equal(before[fold == 1], after[fold == 1])
    assert (before[fold == 0] != after[fold == 0]).all()


def test_of_one_bag_each_half_is_calibrated_on_the_other(rows: pd.DataFrame):
    made_of, fold = put_together_of(rows, 1)
    labels = rows["severe"].to_numpy(np.float32)
    severe = np.flatnonzero((fold == 0) & (labels == 1))[0]
    changed = labels.copy()
    changed[severe] = 0
    before, after = made_of(labels).unseen, made_of(changed).unseen
    assert before[severe] == after[severe]
    assert np.nanmean(before) == pytest.approx(labels[fold == 0].mean(), abs=0.05)


def test_the_latest_months_weigh_most_in_calibration(rows: pd.DataFrame):
    # The last quarter is half as often severe: nothing the trees see tells it.
    last = rows["month"] >= 10
    fewer = np.random.default_rng(2).random(len(rows)) < 0.5
    drifted = rows.assign(severe=rows["severe"].where(~(last & fewer), 0.0))
    found = refit(drifted, SMALL, "dispatch", 7)
    year, quarter = drifted["severe"].mean(), drifted["severe"][last].mean()
    assert quarter < np.nanmean(found.unseen) < year - 0.2 * (year - quarter)
    assert recency(np.array([0.0, 3.0, 6.0])).tolist() == [1.0, 0.5, 0.25]


def test_the_same_rows_give_the_same_bytes(made: Refit, rows: pd.DataFrame, tmp_path: Path):
    again = refit(rows, SMALL, "dispatch", 7)
    np.testing.assert_array_equal(made.unseen, again.unseen)
    for name, each in (("a", made), ("b", again)):
        (tmp_path / name).mkdir()
        each.model.save(tmp_path / name)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b")]
    assert files[0] == files[1]
    np.testing.assert_array_equal(
        Model.load(tmp_path / "a").predict_proba(rows), made.model.predict_proba(rows)
    )


def predictions(rows: pd.DataFrame) -> pd.DataFrame:
    judged = train(feature_frame(2_000, seed=3), feature_frame(1_000, seed=4), SMALL, "dispatch", 7)
    return rows[["severe"]].assign(model=judged.predict_proba(rows))


def test_the_gate_lets_a_calibrated_refit_pass_and_stops_one_that_is_not(made: Refit, rows: pd.DataFrame):
    judged = predictions(rows)
    good = pd.DataFrame({"p_unseen": made.unseen})
    assert check_refit(judged, good, PARAMS.evaluation, PARAMS.seed).passed
    refused = check_refit(judged, good**2, PARAMS.evaluation, PARAMS.seed)
    assert not refused.passed
    assert "ECE" in refused.wanted


def test_the_gate_looks_only_at_what_is_out_of_fold(made: Refit, rows: pd.DataFrame):
    unseen = pd.DataFrame({"p_unseen": made.unseen})
    known = int(unseen["p_unseen"].notna().sum())
    found = check_refit(predictions(rows), unseen, PARAMS.evaluation, PARAMS.seed).found
    assert f"on {known:,} accidents" in found
