"""Slices: every accident in one group, small groups shown and not measured."""

from __future__ import annotations

import json

import numpy as np
import pytest

from accidents.evaluation.metrics import Alerts, compare, evaluate
from accidents.evaluation.slices import NOT_STATED, REGIONS, SLICES, compare_slices, evaluate_slices
from accidents.features import feature_names
from accidents.features.features_by_stage import insee_number
from accidents.vocabulary.codes import column
from tests.accidents.frames import feature_frame, risk

FRAME = feature_frame()
Y, P = FRAME["severe"].to_numpy(), risk(FRAME)


def results(frame=FRAME, **options):
    found = evaluate_slices(frame, Y, P, n_bootstrap=20, **options)
    return {(one.slice, one.group): one for one in found}


@pytest.mark.parametrize("definition", SLICES, ids=lambda one: one.name)
def test_every_accident_is_in_exactly_one_group(definition):
    masks = np.array([rows for _, rows in definition.masks(FRAME)])
    assert (masks.sum(axis=0) == 1).all()


def test_every_department_has_one_region():
    departments = [code for codes in REGIONS.values() for code in codes]
    assert sorted(departments) == sorted(insee_number(code) for code in column("department").codes)


def test_a_group_is_evaluated_on_its_own_accidents():
    hit = FRAME["pedestrian"] == 1
    alone = evaluate(Y[hit], P[hit], n_bootstrap=20)
    found = results()["pedestrians", "hit"]
    assert found.accidents == hit.sum()
    assert found.evaluation["roc_auc"] == alone["roc_auc"]


def test_recall_in_a_group_counts_the_alerts_of_the_whole():
    alerted = Alerts(0.5).weights(P).astype(bool)
    inside = (FRAME["built_up"] == 2).to_numpy()
    found = results(alerts=Alerts(0.5))["built_up", "inside"].evaluation["recall_at_budget"]
    assert found.value == pytest.approx((alerted & inside & (Y == 1)).sum() / (inside & (Y == 1)).sum())


def test_groups_add_up_to_the_budget():
    measured = [one for (name, _), one in results().items() if name == "light"]
    alerted = sum(one.evaluation["alerted_share"].value * one.accidents for one in measured)
    assert alerted == pytest.approx(0.2 * len(FRAME))


def test_small_and_empty_groups_are_listed_with_the_reason():
    found = results()
    overseas, brittany = found["region", "overseas"], found["region", "Bretagne"]
    assert overseas.evaluation is None
    assert 0 < overseas.accidents < 200
    assert "too few to measure" in overseas.note
    assert (brittany.evaluation, brittany.note) == (None, "no accidents")


def test_what_no_accident_states_is_one_line():
    found = results(FRAME.assign(department=np.nan))
    region = {group: one for (name, group), one in found.items() if name == "region"}
    assert list(region) == [NOT_STATED]
    assert region[NOT_STATED].note == "no accident states it"


def test_slices_use_features_known_at_dispatch_alone():
    declared = FRAME[[*feature_names("dispatch")]]
    assert sum(1 for definition in SLICES for _ in definition.masks(declared)) > 20


def test_results_are_json():
    json.dumps([one.to_dict() for one in results().values()], allow_nan=False)


def test_a_challenger_that_fails_one_group_is_found_there():
    inside = (FRAME["pedestrian"] == 1).to_numpy()
    shuffled = np.where(inside, np.random.default_rng(0).permutation(P), P)
    compared = {one.label: one.comparison for one in compare_slices(FRAME, Y, P, shuffled, n_bootstrap=400)}
    assert compared["Pedestrians: hit"].verdict == "worse"
    assert compared["Pedestrians: none"].verdict == "tie"
    assert "Region: overseas" not in compared


def test_comparisons_by_group_are_widened_for_all_groups_together():
    better = np.clip(P + np.where(Y == 1, 0.02, -0.02), 0, 1)
    found = compare_slices(FRAME, Y, P, better, n_bootstrap=400)
    assert len(found) > 5
    hit = next(one.comparison for one in found if one.label == "Pedestrians: hit")
    rows = (FRAME["pedestrian"] == 1).to_numpy()
    alone = compare(Y[rows], P[rows], better[rows], "pr_auc", 0.2, 400, 7)
    together = compare(Y[rows], P[rows], better[rows], "pr_auc", 0.2, 400, 7, 1 - 0.05 / len(found))
    assert (hit.low, hit.high) == (together.low, together.high)
    assert hit.low < alone.low < alone.high < hit.high
