"""The steps of a training, one handing on to the next: what each is given, and what it may not see."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from accidents.bundle import HOLDOUT, Bundle, load_bundle
from accidents.bundle.provenance import MadeFrom
from accidents.evaluation.metrics import EvaluationSettings
from accidents.promotion.champion_comparison import JudgingSettings
from accidents.promotion.gates import GateRules
from accidents.training import fit_bags
from accidents.training.model_settings import ModelSettings
from accidents.training.refit import refit
from accidents.training.split import SplitSettings
from accidents.training.trained_model import Model
from steps.data.split_data import split_data
from steps.evaluation.check_candidate import check_candidate
from steps.evaluation.evaluate_model import evaluate_model
from steps.folder import Folder
from steps.promotion.judge_candidate import judge_candidate
from steps.training.build_bundle import build_bundle
from steps.training.refit_model import refit_model
from steps.training.train_model import train_model
from tests.accidents.frames import feature_frame

SMALL = ModelSettings(bags=2, n_estimators=30, n_jobs=1, num_leaves=15, min_child_samples=5)
SETTINGS = EvaluationSettings(budget=0.2, n_bootstrap=100)
PASSED: dict[str, Any] = {"passed": True, "gates": []}


class Parts(NamedTuple):
    """The rows of a split, and what it says of itself."""

    train: pd.DataFrame
    calibration: pd.DataFrame
    test: pd.DataFrame
    split: dict[str, Any]

    @property
    def all(self) -> pd.DataFrame:
        return pd.concat([self.train, self.calibration, self.test])


@pytest.fixture(scope="module")
def parts() -> Parts:
    """Of a year whose last months are more severe than speed limits say: only a refit has seen them."""
    rows = feature_frame(4_000)
    late = (rows["month"] >= 10) & (np.random.default_rng(3).random(len(rows)) < 0.5)
    rows.loc[late, "severe"] = np.float32(1)
    return Parts(*split_data.entrypoint(rows, SplitSettings(), 7))


@pytest.fixture(scope="module")
def judged(parts: Parts) -> Folder:
    return train_model.entrypoint(parts.train, parts.calibration, SMALL, "dispatch", 7)


@pytest.fixture(scope="module")
def measured(parts: Parts, judged: Folder) -> tuple[pd.DataFrame, dict[str, Any]]:
    baselines = parts.test[[]].assign(prevalence=0.4)
    return evaluate_model.entrypoint(judged, parts.calibration, parts.test, baselines, SETTINGS, 7)


@pytest.fixture(scope="module")
def refitted(parts: Parts, judged: Folder) -> tuple[Folder, pd.DataFrame]:
    return refit_model.entrypoint(judged, PASSED, *parts[:3], SMALL, "dispatch", 7)


def bundle_of(
    parts: Parts, judged: Folder, measured: Any, model: Folder, unseen: Any
) -> tuple[Folder, Bundle]:
    predictions, results = measured
    facts = {"source": "sample", "synthetic": True}
    origin = MadeFrom(data_version="d", years=(2022,), code_version="c", params={})
    folder = build_bundle.entrypoint(
        model, judged, *parts[:3], predictions, parts.split, results, SETTINGS, facts, origin, "m", 7, unseen
    )
    return folder, load_bundle(folder.path)


@pytest.fixture(scope="module")
def bundle(parts: Parts, judged: Folder, measured: Any, refitted: Any) -> tuple[Folder, Bundle]:
    return bundle_of(parts, judged, measured, *refitted)


def predictions_of(folder: Folder, rows: pd.DataFrame) -> np.ndarray:
    return Model.load(folder.path).predict_proba(rows)


def test_each_part_is_later_than_the_one_before_and_an_accident_is_in_one(parts: Parts):
    assert parts.train["month"].max() < parts.calibration["month"].min()
    assert parts.calibration["month"].max() < parts.test["month"].min()
    assert sorted(parts.all["accident_id"]) == list(range(4_000))
    assert parts.split["rows"]["test"] == len(parts.test)


def test_calibrated_is_on_rows_that_the_trees_have_not_seen(parts: Parts, judged: Folder):
    right = fit_bags.train(parts.train, parts.calibration, SMALL, "dispatch", 7).predict_proba(parts.test)
    on_its_own = fit_bags.train(parts.train, parts.train, SMALL, "dispatch", 7).predict_proba(parts.test)
    np.testing.assert_array_equal(predictions_of(judged, parts.test), right)
    assert np.abs(right - on_its_own).max() > 0.001, "or this test could not tell them apart"


def test_the_refit_learns_from_all_parts_and_keeps_their_order(parts: Parts, refitted: Any):
    folder, unseen = refitted
    expected = refit(parts.all, SMALL, "dispatch", 7)
    np.testing.assert_array_equal(
        predictions_of(folder, parts.test), expected.model.predict_proba(parts.test)
    )
    assert list(unseen["accident_id"]) == list(parts.all["accident_id"])
    np.testing.assert_array_equal(unseen["severe"], parts.all["severe"])
    np.testing.assert_array_equal(unseen["p_unseen"], expected.unseen)


def test_where_a_gate_refuses_nothing_is_fitted_again(parts: Parts, judged: Folder):
    folder, unseen = refit_model.entrypoint(
        judged, {**PASSED, "passed": False}, *parts[:3], SMALL, "dispatch", 7
    )
    assert folder is judged
    assert len(unseen) == 0
    assert {"accident_id", "severe", "p_unseen"} <= set(unseen)


def test_a_bundle_deploys_the_refit_and_tells_both(
    parts: Parts, judged: Folder, refitted: Any, bundle: Any, measured: Any
):
    _, loaded = bundle
    matrix = parts.test[loaded.features].to_numpy(np.float32)
    np.testing.assert_allclose(loaded.predict(matrix), predictions_of(refitted[0], parts.test), atol=1e-12)
    np.testing.assert_array_equal(loaded.judged.predict_proba(parts.test), predictions_of(judged, parts.test))
    facts = loaded.facts
    assert facts["judged"]["learnt_from"][-1] < facts["learnt_from"][-1] == "2022-12"
    assert facts["refit"]["rows"] == 4_000
    assert facts["threshold"] != facts["judged"]["threshold"] == measured[1]["alerts"]["threshold"]
    unseen = refitted[1]["p_unseen"].dropna()
    assert (unseen >= facts["threshold"]).mean() == pytest.approx(SETTINGS.budget, abs=0.01)
    tested = refitted[1].tail(len(parts.test)).dropna(subset="p_unseen")
    out_of_fold = facts["refit"]["metrics_out_of_fold"]["roc_auc"]
    assert out_of_fold == pytest.approx(roc_auc_score(tested["severe"], tested["p_unseen"]))
    assert out_of_fold != facts["judged"]["metrics"]["roc_auc"]


def test_golden_rows_are_the_refits_own_and_the_promise_is_the_judged_models(
    parts: Parts, judged: Folder, bundle: Any, measured: Any
):
    folder, loaded = bundle
    reference = pd.read_parquet(folder.path / "reference.parquet")
    own = loaded.predict(reference[loaded.features].to_numpy(np.float32))
    np.testing.assert_allclose(reference["p_severe"], own, atol=1e-12)
    assert set(reference["month"]) == set(parts.all["month"]), "the test part is learnt from as well"
    promised = pd.read_parquet(folder.path / HOLDOUT)
    np.testing.assert_array_equal(np.sort(promised["p_severe"]), np.sort(measured[0]["model"]))


def test_the_card_says_in_a_sentence_whose_figures_are_whose(parts: Parts, bundle: Any, refitted: Any):
    """Out of fold only some of the tested accidents have a probability: the card says how many."""
    folder, loaded = bundle
    tested = refitted[1]["p_unseen"].tail(len(parts.test)).count()
    assert 0 < tested < len(parts.test)
    card = (folder.path / "model_card.md").read_text(encoding="utf-8")
    facts = loaded.facts
    of_refit = "{roc_auc:.3f} / {pr_auc:.3f} / {ece:.3f}".format(**facts["refit"]["metrics_out_of_fold"])
    assert (
        "All figures on this card are of the model that was judged, which learnt from accidents up to "
        f"{facts['judged']['learnt_from'][-1]}; what is deployed is its refit on all 4,000 accidents up to "
        f"2022-12, whose ROC-AUC / PR-AUC / ECE out of fold, on {tested} of the test accidents, "
        f"are {of_refit}."
    ) in card


def test_without_a_refit_the_judged_model_is_deployed_and_nothing_says_otherwise(
    parts: Parts, judged: Folder, measured: Any
):
    folder, loaded = bundle_of(parts, judged, measured, judged, None)
    assert not {"refit", "judged"} & set(loaded.facts)
    assert loaded.facts["learnt_from"][-1] < f"2022-{int(parts.test['month'].min()):02d}"
    assert "its refit on all" not in (folder.path / "model_card.md").read_text(encoding="utf-8")


def test_gates_hold_the_figures_of_the_judged_model(measured: Any):
    reached = measured[1]["model"]["metrics"]["roc_auc"]["value"]
    for bound, passes in ((reached - 0.01, True), (reached + 0.01, False)):
        rules = GateRules.model_validate({"gates": [{"metric": "roc_auc", "min": bound}]})
        assert check_candidate.entrypoint(*measured, rules)["passed"] is passes


def test_the_refits_gate_is_of_the_tests_rows_which_are_the_last(parts: Parts, bundle: Any, measured: Any):
    """Made useless on the rows before the test it passes; made useless on those of the test it is refused."""
    folder, unseen = bundle[0], _of_truth(parts)
    rules = JudgingSettings.model_validate({"evaluation": {"n_bootstrap": 100}})
    is_test = np.arange(len(unseen)) >= len(unseen) - len(parts.test)
    for spoilt, passes in ((~is_test, True), (is_test, False)):
        given = unseen.assign(p_unseen=np.where(spoilt, 0.001, unseen["p_unseen"]))
        judgement = judge_candidate.entrypoint(
            folder, parts.test, measured[0], PASSED, rules, None, unseen=given
        )
        (gate,) = judgement["gates"]
        assert gate["gate"] == "refit: calibration"
        assert (judgement["promote"], gate["passed"]) == (passes, passes)


def _of_truth(parts: Parts) -> pd.DataFrame:
    """Rows with the share of severe accidents for a probability: calibrated, whatever the model is."""
    rows = parts.all[["accident_id", "severe"]].reset_index(drop=True)
    return rows.assign(p_unseen=float(parts.test["severe"].mean()))
