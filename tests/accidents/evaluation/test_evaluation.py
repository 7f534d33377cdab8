"""Metrics agree with scikit-learn, intervals with the plain bootstrap, and broken input is refused."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from accidents.errors import DataError, SettingsError
from accidents.evaluation.metrics import (
    METRICS,
    Alerts,
    _Counts,
    alerts_for_budget,
    calibration_curve,
    compare,
    evaluate,
    lift_curve,
    threshold_for_budget,
)


def sample(n: int, seed: int = 0, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """n labels drawn from their own probabilities: a perfectly calibrated model."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(-0.5, 1.2, n)))
    y = (rng.random(n) < p).astype(float)
    return y, p if decimals is None else p.round(decimals)


def plain_ece(y: np.ndarray, p: np.ndarray) -> float:
    bins = np.minimum((p * 15).astype(int), 14)
    return float(sum(abs((y - p)[bins == b].sum()) for b in range(15)) / len(y))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=3, max_size=60), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_counts_give_scikit_learns_metrics_on_any_draw(rows: list[tuple[bool, int]], seed: int):
    y, p = np.array([[label, score / 12] for label, score in rows], dtype=float).T
    draw = np.random.default_rng(seed).integers(0, len(y), len(y))
    found = _Counts(y, p, 0.2, None).metrics(draw)
    y, p = y[draw], p[draw]
    assert found["brier"] == pytest.approx(brier_score_loss(y, p, pos_label=1))
    assert found["ece"] == pytest.approx(plain_ece(y, p))
    if 0 < y.sum() < len(y):
        assert found["roc_auc"] == pytest.approx(roc_auc_score(y, p))
        assert found["pr_auc"] == pytest.approx(average_precision_score(y, p))
        assert found["log_loss"] == pytest.approx(log_loss(y, np.clip(p, 1e-7, 1 - 1e-7)), rel=1e-6)
    else:
        assert np.isnan(found["roc_auc"])


def test_intervals_are_those_of_the_plain_bootstrap():
    y, p = sample(800, decimals=2)
    rng = np.random.default_rng(7)
    rows = [rng.integers(0, 800, 800) for _ in range(300)]
    plain = np.quantile([roc_auc_score(y[r], p[r]) for r in rows], [0.025, 0.975])
    found = evaluate(y, p, n_bootstrap=300, seed=7)["roc_auc"]
    assert (found.low, found.high) == pytest.approx(tuple(plain), abs=1e-12)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    covered = 0
    for seed in range(60):
        y, p = sample(500, seed)
        found = evaluate(y, p, n_bootstrap=200, seed=seed)["brier"]
        covered += found.low <= (p * (1 - p)).mean() <= found.high
    assert 51 <= covered <= 60  # 57 expected


def test_ece_interval_contains_its_value_though_draws_lie_above_it():
    found = evaluate(*sample(2_000), n_bootstrap=200)["ece"]
    assert found.low <= found.value <= found.high


def test_fifty_thousand_accidents_take_seconds():
    y, p = sample(55_000)
    before = time.process_time()
    evaluate(y, p, n_bootstrap=200)
    assert time.process_time() - before < 5


def test_recall_at_budget_is_that_of_the_riskiest_share():
    y = np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 0])
    p = np.linspace(0.95, 0.05, 10)
    found = evaluate(y, p, budget=0.2, n_bootstrap=0)
    assert found["recall_at_budget"].value == pytest.approx(2 / 3)
    assert found["precision_at_budget"].value == pytest.approx(1)


@given(st.floats(0.01, 1), st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_constant_scores_reach_just_the_budget(budget: float, n: int):
    y = np.arange(n) % 3 == 0
    found = evaluate(y, np.full(n, 0.3), budget, n_bootstrap=0)
    assert found["recall_at_budget"].value == pytest.approx(budget)
    assert alerts_for_budget(np.full(n, 0.3), budget).share_at_threshold == pytest.approx(budget)


def test_threshold_from_calibration_is_used_as_it_is():
    y, p = sample(4_000)
    threshold = threshold_for_budget(p, 0.2)
    assert (p >= threshold).mean() == pytest.approx(0.2, abs=1e-3)
    shifted = evaluate(y, np.clip(p * 0.5, 0, 1), n_bootstrap=0, alerts=Alerts(threshold))
    assert shifted["alerted_share"].value < 0.05  # the later year is scored lower: fewer alerts, and it shows


def test_same_seed_same_intervals():
    y, p = sample(500)
    assert evaluate(y, p, n_bootstrap=50, seed=3) == evaluate(y, p, n_bootstrap=50, seed=3)
    assert evaluate(y, p, n_bootstrap=50, seed=3) != evaluate(y, p, n_bootstrap=50, seed=4)


def test_one_class_has_no_roc_auc_and_says_none():
    found = evaluate(np.zeros(50), np.full(50, 0.2), n_bootstrap=20)
    assert found.to_dict()["metrics"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert set(found.metrics) == set(METRICS)


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 2], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, np.nan], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, 1], [0.1, np.nan], "between 0 and 1"),
        ([0, 1], [0.1, 1.2], "between 0 and 1"),
        ([], [], "non-empty"),
        ([0, 1], [0.1], "two equal"),
    ],
)
def test_broken_input_is_refused(y: list[float], p: list[float], message: str):
    with pytest.raises(DataError, match=message):
        evaluate(y, p)


def test_budget_of_twenty_is_refused():
    with pytest.raises(SettingsError, match=r"0\.2"):
        evaluate([0, 1], [0.1, 0.2], budget=20)


def test_a_better_model_is_better_and_a_twin_ties():
    y, p = sample(3_000)
    worse = np.clip(p + np.random.default_rng(1).normal(0, 0.3, len(p)), 0, 1)
    assert compare(y, worse, p, n_bootstrap=200).verdict == "better"
    assert compare(y, p, worse, n_bootstrap=200).verdict == "worse"
    assert (
        compare(y, worse, p, "brier", n_bootstrap=200).difference > 0
    )  # lower is better: the sign is turned
    twin = compare(y, p, p, n_bootstrap=200)
    assert (twin.verdict, twin.difference) == ("tie", 0)


def test_pairing_tells_what_two_intervals_cannot():
    y, p = sample(3_000)
    slightly_worse = np.clip(p + np.random.default_rng(1).normal(0, 0.05, len(p)), 0, 1)
    old, new = (evaluate(y, one, n_bootstrap=200)["pr_auc"] for one in (slightly_worse, p))
    assert old.high > new.low  # the intervals overlap
    assert compare(y, slightly_worse, p, n_bootstrap=200).verdict == "better"


def test_the_interval_of_a_difference_of_ece_is_around_it():
    """Noise lifts the ECE of a draw, and most that of who has none: not centred, the biased one gains."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.7, 300)
    y = (rng.random(300) < p).astype(float)
    found = compare(y, p, p + 0.2, "ece", n_bootstrap=500)
    assert (found.low + found.high) / 2 == pytest.approx(found.difference, abs=0.01)


def test_prevalence_cannot_rank_models():
    with pytest.raises(SettingsError, match="cannot rank"):
        compare([0, 1], [0.1, 0.2], [0.1, 0.2], "prevalence")


def test_curves_end_where_they_must():
    y, p = sample(2_000)
    lift = lift_curve(y, p)
    assert (lift["recall"][0], lift["recall"][-1], lift["lift"][-1]) == pytest.approx((0, 1, 1))
    assert lift["recall"][20] == pytest.approx(evaluate(y, p, 0.2, n_bootstrap=0)["recall_at_budget"].value)
    curve = calibration_curve(y, p)
    assert curve["accidents"].sum() == 2_000
    assert ((curve["low"] <= curve["observed"]) & (curve["observed"] <= curve["high"])).all()
