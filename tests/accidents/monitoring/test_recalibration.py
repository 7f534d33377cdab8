"""Recalibration from labels: a shift of severity is mended, the order stays, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accidents.bundle import Bundle, load_bundle, write_bundle
from accidents.bundle.golden import check_here, make_golden
from accidents.evaluation.metrics import evaluate
from accidents.monitoring.measurements import WindowFacts
from accidents.monitoring.recalibration import recalibrate, write_recalibrated
from accidents.monitoring.window import Window, unlearnt
from accidents.promotion.gates import GateRules
from accidents.training.calibration import BetaCalibration
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from accidents.training.refit import refit
from tests.accidents.frames import feature_frame, risk

SETTINGS = ModelSettings(bags=2, n_estimators=40, n_jobs=1)
RULES = GateRules.model_validate(
    {"evaluation": {"n_bootstrap": 100}, "gates": [{"metric": "ece", "max": 0.06}]}
)
FACTS = {"name": "accident-severity-dispatch", "stage": "dispatch", "threshold": 0.5, "budget": 0.2,
         "synthetic": True, "learnt_from": ["2022-01", "2022-12"]}  # fmt: skip


def later(n: int, seed: int, odds: float = 1.0) -> pd.DataFrame:
    """Accidents of 2023, `odds` times as likely to be severe."""
    rows = feature_frame(n, seed).assign(year=np.int16(2023))
    p = risk(rows)
    shifted = odds * p / (1 - p + odds * p)
    drawn = np.random.default_rng(seed).random(n) < shifted
    return rows.assign(severe=drawn.astype(np.float32))


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    rows = feature_frame(6_000)
    made = refit(rows, SETTINGS, "dispatch", 7)
    reference = rows.assign(p_severe=made.model.predict_proba(rows), p_unseen=made.unseen)
    folder = tmp_path_factory.mktemp("champion") / "bundle"
    return write_bundle(folder, made.model, FACTS, reference, "# Card\n")


def p_of(bundle: Bundle, rows: pd.DataFrame) -> np.ndarray:
    return bundle.predict(rows[bundle.features].to_numpy(np.float32))


@pytest.mark.parametrize("odds", [0.6, 1.6])
def test_two_thousand_labels_mend_a_shift_of_severity(champion: Bundle, tmp_path: Path, odds: float) -> None:
    made = recalibrate(champion, later(2_000, 1, odds), "3", RULES)
    assert made.decision.promote, made.decision.reason
    mended = write_recalibrated(tmp_path / "bundle", champion, made)
    unseen = later(40_000, 2, odds)
    before, after = (
        evaluate(unseen["severe"], p_of(one, unseen), n_bootstrap=0)["ece"].value
        for one in (champion, mended)
    )
    assert before > 0.06
    assert after < 0.02


def test_the_order_and_the_share_that_is_alerted_stay(champion: Bundle, tmp_path: Path) -> None:
    made = recalibrate(champion, later(2_000, 1, 0.5), "3", RULES)
    mended = write_recalibrated(tmp_path / "bundle", champion, made)
    rows = later(20_000, 3, 0.5)
    before, after = p_of(champion, rows), p_of(mended, rows)
    assert (np.diff(after[np.argsort(before, kind="stable")]) >= -1e-12).all()
    assert mended.threshold < champion.threshold
    np.testing.assert_array_equal(after >= mended.threshold, before >= champion.threshold)


def test_without_scores_out_of_fold_the_share_that_is_alerted_stays_too(tmp_path: Path) -> None:
    """Trees that have learnt their rows by heart score these unlike any others."""
    rows = feature_frame(400)
    by_heart = ModelSettings(bags=1, n_estimators=100, min_child_samples=1, masked=0, n_jobs=1)
    model = train(rows, rows, by_heart, "dispatch", 7)
    reference = rows.assign(p_severe=model.predict_proba(rows))
    champion = write_bundle(tmp_path / "champion", model, FACTS, reference, "# Card\n")
    made = recalibrate(champion, later(2_000, 1, 0.6), "3", RULES)
    mended = write_recalibrated(tmp_path / "mended", champion, made)
    fresh = later(5_000, 3, 0.6)
    before, after = p_of(champion, fresh) >= champion.threshold, p_of(mended, fresh) >= mended.threshold
    np.testing.assert_array_equal(after, before)


def test_trees_and_what_was_judged_are_the_same_and_golden_rows_its_own(champion, tmp_path: Path) -> None:
    made = recalibrate(champion, later(1_000, 1, 0.6), "3", RULES)
    mended = write_recalibrated(tmp_path / "bundle", champion, made)
    assert mended.model.booster.text == champion.model.booster.text
    rows = later(100, 5)
    np.testing.assert_array_equal(mended.judged.predict_proba(rows), champion.judged.predict_proba(rows))
    assert mended.facts["recalibrated"]["version"] == "3"
    assert mended.facts["recalibrated"]["labels"] == 1_000
    assert mended.identity not in (None, champion.identity), "another version, not the champion's"
    assert mended.facts["learnt_from"] == FACTS["learnt_from"]
    check_here(mended, make_golden(mended, 100))
    unseen = pd.read_parquet(mended.folder / "reference.parquet")["p_unseen"]
    assert unseen.mean() == pytest.approx(p_of(mended, feature_frame(6_000, 9)).mean(), abs=0.02)
    assert "version 3" in (mended.folder / "model_card.md").read_text()
    assert load_bundle(mended.folder).digest == mended.digest
    again = write_recalibrated(tmp_path / "again", champion, made)
    assert again.digest == mended.digest, "same champion, same labels, same version"


def test_what_does_not_hold_on_the_latest_labels_is_refused(champion: Bundle) -> None:
    """The earlier labels say half as severe, the latest say what was always so."""
    rows = pd.concat([later(1_400, 1, 0.2).assign(month=np.int8(1)), later(700, 2).assign(month=np.int8(6))])
    made = recalibrate(champion, rows, "3", RULES)
    assert not made.decision.promote
    assert "the latest labels" in made.decision.reason


def test_the_latest_labels_of_a_log_are_the_latest_in_time_not_in_the_log(champion: Bundle) -> None:
    early, late = later(1_400, 1, 0.2), later(700, 2)
    rows = pd.concat([early, late]).assign(
        month=np.int8(6), created=pd.date_range("2023-06-01", periods=2_100, freq="15min", tz="UTC")
    )
    made = recalibrate(champion, rows.sample(frac=1, random_state=1), "3", RULES)
    assert "the latest labels" in made.decision.reason


def test_a_recalibrated_champion_is_not_judged_on_the_labels_it_learnt_from(champion, tmp_path: Path) -> None:
    rows = later(2_000, 1, 0.6).assign(
        month=np.int8(6), created=pd.date_range("2023-06-01", periods=2_000, freq="15min", tz="UTC")
    )
    mended = write_recalibrated(tmp_path / "log", champion, recalibrate(champion, rows[:1_500], "3", RULES))
    facts = WindowFacts(source="log", from_log=True, rows=2_000, labelled=2_000)
    left = unlearnt(Window(rows, facts), mended)
    assert left.index.tolist() == rows.index[1_500:].tolist(), "those that were asked about later"
    files = rows.drop(columns="created")
    again = recalibrate(mended, files.assign(month=np.int8(7)), "4", RULES)
    both = write_recalibrated(tmp_path / "files", mended, again)
    assert unlearnt(Window(rows.assign(month=np.int8(7)), facts), both).empty
    assert len(unlearnt(Window(rows, facts), both)) == 500, "what was learnt before is not forgotten"


def test_a_recalibration_under_a_clock_that_was_ahead_hides_no_labels(champion, tmp_path: Path) -> None:
    rows = later(1_500, 1, 0.6).assign(month=np.int8(6))
    ahead = rows.assign(created=pd.Timestamp.now("UTC") + pd.Timedelta(days=400))
    made = recalibrate(champion, ahead, "3", RULES)
    assert pd.Timestamp(made.facts["log_until"]) <= pd.Timestamp.now("UTC")
    until = ahead["created"].iloc[0].isoformat()
    wrong = replace(made, facts=made.facts | {"log_until": until})  # by that clock it was no later than now
    mended = write_recalibrated(tmp_path / "wrong", champion, wrong)
    now = datetime.now(UTC)
    facts = WindowFacts(source="log", from_log=True, until=now, rows=1_500, labelled=1_500)
    window = Window(rows.assign(created=pd.Timestamp(now)), facts)
    assert len(unlearnt(window, mended)) == 1_500, "none would count for 400 days"
    again = recalibrate(mended, window.frame, "4", RULES)
    assert pd.Timestamp(again.facts["log_until"]) <= pd.Timestamp.now("UTC")


def test_the_bounds_of_params_apply_where_there_are_labels_enough(champion: Bundle) -> None:
    gates = [{"metric": "ece", "max": 0.0001}, {"metric": "roc_auc", "min": 0.99}]
    strict = GateRules.model_validate({"evaluation": {"n_bootstrap": 100}, "gates": gates})
    rows = later(6_000, 1, 0.6)
    assert not recalibrate(champion, rows, "3", strict).decision.promote
    few = recalibrate(champion, rows[:3_000], "3", strict)
    assert few.decision.promote
    assert "not measured" in few.gates.results[-1].found


def test_the_bounds_are_measured_on_labels_that_the_calibration_has_not_seen(champion: Bundle) -> None:
    """The earlier labels say less severe, the latest still less: better than before, and off by much."""
    early, late = (later(n, n, odds) for n, odds in ((4_000, 0.4), (2_000, 0.15)))
    rows = pd.concat([early.assign(month=np.int8(1)), late.assign(month=np.int8(6))])
    made = recalibrate(champion, rows, "3", RULES)
    assert [gate.gate for gate in made.gates.refusals] == ["ece"]


def test_few_labels_move_the_level_and_hardly_the_slopes() -> None:
    rng = np.random.default_rng(1)
    p = 1 / (1 + np.exp(-rng.normal(-0.6, 1.2, 300)))
    severe = (rng.random(300) < p * 0.6).astype(float)
    prior = BetaCalibration(1.1, 0.9, 0.05)
    few = BetaCalibration.fit(p, severe, prior=prior)
    assert abs(few.a - prior.a) < 0.25
    assert abs(few.b - prior.b) < 0.25
    assert few.apply(p).mean() == pytest.approx(severe.mean(), abs=0.03)


def test_a_calibration_can_be_undone() -> None:
    p = np.array([1e-6, 0.01, 0.3, 0.5, 0.97, np.nan])
    calibration = BetaCalibration(1.3, 0.7, -0.4)
    np.testing.assert_allclose(calibration.undo(calibration.apply(p)), p, rtol=1e-4)
