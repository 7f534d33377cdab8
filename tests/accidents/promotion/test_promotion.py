"""Promotion: better, tied, worse, poisoned and first models."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accidents.evaluation.metrics import Comparison, compare, evaluate
from accidents.evaluation.slices import SliceComparison
from accidents.promotion.champion_decision import ChampionComparison, Freshness, PromotionSettings, decide
from accidents.promotion.gates import GateReport, GateResult, GateSettings, check_gates

PASSING = GateReport((GateResult("roc_auc", "at least 0.7", "0.8", True),))
REFUSING = GateReport((*PASSING.results, GateResult("ece", "at most 0.03", "0.09", False)))
FRESHER, STALE, UNKNOWN = (
    Freshness("2022-12", "2021-12"),
    Freshness("2020-12", "2021-12"),
    Freshness(None, None),
)


def compared(
    difference: float, noise: float = 0.005, slices: tuple[SliceComparison, ...] = ()
) -> ChampionComparison:
    return ChampionComparison("version 3", gain(difference, noise), slices)


def gain(difference: float, noise: float = 0.005) -> Comparison:
    low, high = difference - noise, difference + noise
    return Comparison("pr_auc", 20_000, 0.6, 0.6 + difference, difference, low, high)


def test_first_model_needs_the_gates_alone():
    assert decide(PASSING, None, UNKNOWN).promote
    assert not decide(REFUSING, None, UNKNOWN).promote
    assert not decide(GateReport(()), None, UNKNOWN).promote


@pytest.mark.parametrize(
    ("difference", "freshness", "promoted", "rule"),
    [
        (0.02, STALE, True, "better"),
        (0.02, FRESHER, True, "better"),
        (0.002, FRESHER, True, "tie_fresher"),
        (-0.002, FRESHER, True, "tie_fresher"),
        (0.002, STALE, False, "tie"),
        (0.0, Freshness("2021-12", "2021-12"), False, "tie"),
        (0.002, UNKNOWN, False, "tie"),
        (-0.02, FRESHER, False, "worse"),
    ],
)
def test_against_a_champion(difference: float, freshness: Freshness, promoted: bool, rule: str):
    decision = decide(PASSING, compared(difference), freshness)
    assert (decision.promote, decision.rule) == (promoted, rule)
    assert "version 3" in decision.reason


def test_a_tie_that_loses_too_much_is_refused_however_noisy():
    assert decide(PASSING, compared(-0.03, noise=0.05), FRESHER).rule == "tie"
    lenient = PromotionSettings(tie_margin=0.05)
    assert decide(PASSING, compared(-0.03, noise=0.05), FRESHER, lenient).promote


def test_the_reason_names_every_refusing_gate():
    decision = decide(REFUSING, compared(0.1), FRESHER)
    assert not decision.promote
    assert "1 of 2 gates refuse. ece: wanted at most 0.03, found 0.09" in decision.reason


def test_worse_for_one_part_is_refused_though_better_overall():
    worse = compared(0.02, slices=(SliceComparison("Pedestrians: hit", gain(-0.1)),))
    decision = decide(PASSING, worse, FRESHER)
    assert (decision.promote, decision.rule) == (False, "worse_slice")
    assert "Pedestrians: hit" in decision.reason
    assert decide(PASSING, worse, FRESHER, PromotionSettings(refuse_worse_slices=False)).promote


@given(st.floats(-0.2, 0.2), st.floats(0.001, 0.1), st.booleans())
def test_nothing_worse_and_nothing_refused_is_ever_promoted(difference: float, noise: float, fresher: bool):
    freshness = FRESHER if fresher else STALE
    assert not decide(REFUSING, compared(difference, noise), freshness).promote
    decision = decide(PASSING, compared(difference, noise), freshness)
    assert not (decision.promote and difference + noise < 0)
    assert decision.promote or difference - noise <= 0


def test_undefined_difference_is_not_promoted():
    assert not decide(PASSING, compared(float("nan")), FRESHER).promote


def test_a_poisoned_challenger_stays_out():
    rng = np.random.default_rng(0)
    good = rng.uniform(0.05, 0.95, 4_000)
    y = rng.random(4_000) < good
    poisoned = 1 - good  # what training on flipped labels gives
    gates = [GateSettings(metric="roc_auc", min=0.7, on="low")]
    report = check_gates(gates, evaluate(y, poisoned, n_bootstrap=100))
    meeting = ChampionComparison("version 3", compare(y, good, poisoned, n_bootstrap=100))
    assert decide(report, meeting, FRESHER).rule == "gates"
    assert decide(PASSING, meeting, FRESHER).rule == "worse"


def test_decision_and_comparison_are_json():
    worse = compared(0.02, slices=(SliceComparison("Pedestrians: hit", gain(float("nan"))),))
    json.dumps([decide(PASSING, worse, FRESHER).to_dict(), worse.to_dict()], allow_nan=False)
