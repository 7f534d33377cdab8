"""Keep, alert or retrain: every rule of the policy, and what must not follow."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accidents.config import parse
from accidents.errors import SettingsError
from accidents.monitoring.loop_decision import decide
from accidents.monitoring.measurements import KINDS, LoopDecision, Measurements, PerformanceMeasures
from accidents.monitoring.monitor_settings import DriftPolicy, MonitorSettings
from accidents.params import Params, load_params
from tests.monitor_reports import NOW, POLICY, drift, measurements, past, performance, shifted, walk

HEALTHY = measurements()
DRIFTED = measurements(drift=drift(["light"]))
LOST = measurements(performance=performance(lost=True))
DRIFTED_AND_LOST = measurements(drift=drift(["light"]), performance=performance(lost=True))


def alone(now: Measurements) -> LoopDecision:
    return decide(now, [], POLICY, NOW)


def test_nothing_found_keeps() -> None:
    assert alone(HEALTHY).action == "keep"
    assert alone(HEALTHY).firing == ()


@pytest.mark.parametrize(
    ("found", "kind", "words"),
    [
        ({"drift": drift(["light", "cars"])}, "features", "2 of 3 features have drifted: light, cars"),
        ({"drift": drift(missing=["hour"])}, "missing", "Known less or more often than before: hour"),
        ({"drift": drift(predictions=True)}, "predictions", "mean P(severe) 45.0%, before 35.0%"),
        ({"performance": performance(lost=True)}, "performance", "roc_auc 0.700, expected 0.810"),
    ],
)
def test_each_kind_alone_alerts_and_says_what_it_found(found: dict, kind: str, words: str) -> None:
    decision = alone(measurements(**found))
    assert (decision.action, decision.firing) == ("alert", (kind,))
    assert words in " ".join(decision.reasons)


def test_drift_with_a_performance_loss_retrains() -> None:
    assert alone(DRIFTED_AND_LOST).action == "retrain"
    assert (
        alone(measurements(drift=drift(predictions=True), performance=performance(True))).action == "retrain"
    )


def test_a_performance_loss_without_drift_must_be_confirmed() -> None:
    assert [one.action for one in walk(LOST, LOST)] == ["alert", "retrain"]
    assert [one.action for one in walk(LOST, HEALTHY, LOST)] == ["alert", "alert", "alert"]
    patient = POLICY.model_copy(update={"confirm": 3})
    assert [one.action for one in walk(LOST, LOST, LOST, policy=patient)] == ["alert", "alert", "retrain"]
    hasty = POLICY.model_copy(update={"confirm": 1})
    assert walk(LOST, policy=hasty)[0].action == "retrain"


def test_a_loss_that_hung_on_one_caller_confirms_no_other() -> None:
    figures = [one.model_copy(update={"hangs_on": "key a"}) for one in performance(lost=True).figures]
    hung = measurements(performance=performance().model_copy(update={"figures": tuple(figures)}))
    assert [one.action for one in walk(hung, LOST)] == ["alert", "alert"]
    assert [one.action for one in walk(hung, LOST, LOST)] == ["alert", "alert", "retrain"]


def test_looks_at_the_same_accidents_confirm_nothing_and_end_nothing() -> None:
    hour = 1 / 24
    assert [one.action for one in walk(LOST, LOST, LOST, every=hour)] == ["alert", "alert", "alert"]
    assert [one.action for one in walk(DRIFTED, *[HEALTHY] * 5, every=hour)] == ["alert"] * 6
    hourly = walk(*[LOST] * 22, every=hour)
    assert [one.action for one in hourly][19:] == ["alert", "retrain", "alert"], "a day later"


def test_a_new_year_of_labels_retrains() -> None:
    decision = alone(measurements(new_years=(2027,)))
    assert decision.action == "retrain"
    assert "Labels of 2027 have come in" in decision.reasons[-1]


@pytest.mark.parametrize("gap", [0.028, -0.028, 0.08])
def test_where_only_the_probabilities_are_off_they_are_mended(gap: float) -> None:
    decision = alone(measurements(performance=shifted(gap)))
    assert (decision.action, decision.firing) == ("recalibrate", ("performance",))
    assert f"{gap:+.3f}" in decision.reasons[0] or f"{gap:.3f}" in decision.reasons[0]
    assert alone(measurements(performance=shifted(gap), drift=drift(["light"]))).action == "recalibrate"


@pytest.mark.parametrize(
    "found",
    [shifted(0.012, accidents=20_000), shifted(0.028).model_copy(update={"accidents": 900}), shifted(0.025)],
    ids=["small", "too few labels", "within chance"],
)
def test_what_may_be_chance_is_not_mended(found: PerformanceMeasures) -> None:
    assert alone(measurements(performance=found)).action == "keep"


def test_a_lost_ranking_is_no_matter_of_calibration() -> None:
    lost = measurements(performance=shifted(0.05, ranking_lost=True))
    assert alone(lost).action == "alert"
    assert alone(lost.model_copy(update={"drift": drift(["light"])})).action == "retrain"
    never = POLICY.model_copy(update={"recalibrate": None})
    assert decide(measurements(performance=shifted(0.05)), [], never, NOW).action == "alert"


def test_a_new_year_of_labels_retrains_though_a_recalibration_would_do() -> None:
    assert alone(measurements(performance=shifted(0.05), new_years=(2027,))).action == "retrain"


def test_a_recalibration_waits_for_a_broken_field_and_for_the_one_before() -> None:
    found = shifted(0.05)
    decision = alone(measurements(performance=found, drift=drift(broken=["light"])))
    assert (decision.action, "must be mended first" in decision.reasons[-1]) == ("alert", True)
    steady = [one.action for one in walk(*[measurements(performance=found)] * 9, every=1)]
    assert steady == ["recalibrate", *["alert"] * 6, "recalibrate", "alert"]


def test_an_alert_ends_after_enough_quiet_windows() -> None:
    decisions = walk(DRIFTED, HEALTHY, HEALTHY)
    assert [one.action for one in decisions] == ["alert", "alert", "keep"]
    assert (decisions[1].firing, decisions[1].active) == ((), ("features",))
    assert "not yet quiet for long enough: features" in decisions[1].reasons[0]


def test_a_window_that_says_nothing_ends_no_alert_and_starts_none() -> None:
    small = measurements(window={"rows": 20}, drift=drift(["light"]), performance=performance(True))
    assert [one.action for one in walk(small)] == ["keep"]
    assert [one.action for one in walk(DRIFTED, HEALTHY, small, small, HEALTHY)] == [
        "alert", "alert", "alert", "alert", "keep",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"rows": 0, "labelled": 0}, "The window is empty"),
        ({"rows": 1}, "Too few accidents to say anything: 1 (min_rows: 300)"),
        ({"last_month": "2025-11"}, "The window ends in 2025-11, before what the champion has learnt"),
    ],
)
def test_windows_nothing_follows_from(window: dict, words: str) -> None:
    decision = alone(measurements(window=window, drift=drift(["light"]), performance=performance(True)))
    assert (decision.action, decision.firing) == ("keep", ())
    assert words in decision.reasons[0]


def test_a_broken_field_is_mended_not_learnt() -> None:
    broken = measurements(drift=drift(["light"], broken=["cars"]), performance=performance(True))
    decision = alone(broken)
    assert decision.action == "alert"
    assert "Nothing is left of cars" in " ".join(decision.reasons)
    assert "cars must be mended first" in decision.reasons[-1]


def test_cooldown_after_a_retraining() -> None:
    history = [past(DRIFTED_AND_LOST, [], days_ago=29)]
    held = decide(DRIFTED_AND_LOST, history, POLICY, NOW)
    assert held.action == "alert"
    assert "none before 2026-11-23 (cooldown_days)" in held.reasons[-1]
    assert decide(DRIFTED_AND_LOST, history, POLICY, NOW + timedelta(days=1)).action == "retrain"


def test_cooldown_holds_for_the_next_champion_too() -> None:
    history = [past(DRIFTED_AND_LOST, [], days_ago=3)]
    new = measurements(drift=drift(["light"]), performance=performance(True), champion={"digest": "b" * 64})
    assert decide(new, history, POLICY, NOW).action == "alert"


def test_a_training_that_failed_starts_no_cooldown() -> None:
    history = [past(DRIFTED_AND_LOST, [], days_ago=1, completed=False)]
    assert decide(DRIFTED_AND_LOST, history, POLICY, NOW).action == "retrain"


def test_a_loss_that_is_one_callers_doing_alerts_and_retrains_nothing() -> None:
    one = on(performance(True), roc_auc="attacker")
    decided = decide(measurements(drift=drift(["light"]), performance=one), [], POLICY, NOW)
    assert decided.action == "alert"
    assert "nothing is lost without attacker" in decided.reasons[-1]
    whole_year = measurements(performance=one, new_years=(2027,))
    assert decide(whole_year, [], POLICY, NOW).action == "retrain", "files are nobody's choice"


def on(found: PerformanceMeasures, **callers: str) -> PerformanceMeasures:
    """These measures, with the caller that a metric hangs on."""
    figures = (one.model_copy(update={"hangs_on": callers.get(one.metric)}) for one in found.figures)
    return found.model_copy(update={"figures": tuple(figures)})


def test_one_callers_loss_of_ranking_neither_blocks_a_recalibration_nor_makes_it_a_retraining() -> None:
    found = on(shifted(0.05, ranking_lost=True), roc_auc="attacker")
    for drifted in (drift(), drift(["light"])):
        decision = alone(measurements(performance=found, drift=drifted))
        assert decision.action == "recalibrate"
    assert "expected 0.810 (not without attacker)" in " ".join(decision.reasons)


def test_one_callers_gap_recalibrates_nothing_and_blocks_no_retraining() -> None:
    decision = alone(measurements(performance=on(shifted(0.05), calibration_gap="attacker")))
    assert decision.action == "alert"
    assert "nothing is lost without attacker" in decision.reasons[-1]
    both = on(shifted(0.05, ranking_lost=True), calibration_gap="attacker")
    assert alone(measurements(performance=both, drift=drift(["light"]))).action == "retrain"


def test_a_clock_that_moved_back_prolongs_nothing_beyond_the_cooldown() -> None:
    ahead = [past(DRIFTED_AND_LOST, [], days_ago=-400)]
    held = decide(DRIFTED_AND_LOST, ahead, POLICY, NOW)
    assert held.action == "alert"
    assert "none before 2026-12-22" in held.reasons[-1]


def test_what_was_found_of_an_earlier_champion_is_forgotten() -> None:
    history = [past(LOST, [], days_ago=1)]
    new = measurements(performance=performance(True), champion={"digest": "b" * 64})
    assert decide(new, history, POLICY, NOW).action == "alert", "confirmed by another champion's window"
    healthy = measurements(champion={"digest": "b" * 64})
    assert decide(healthy, history, POLICY, NOW).action == "keep"


def test_how_many_features_must_drift() -> None:
    policy = POLICY.model_copy(update={"drift": DriftPolicy(features=2)})
    assert walk(DRIFTED, policy=policy)[0].action == "keep"
    assert walk(measurements(drift=drift(["light", "cars"])), policy=policy)[0].action == "alert"


@given(
    st.lists(
        st.builds(
            measurements,
            drift=st.builds(
                drift,
                st.sampled_from([[], ["light"]]),
                missing=st.sampled_from([[], ["hour"]]),
                broken=st.sampled_from([[], ["cars"]]),
                predictions=st.booleans(),
            ),
            performance=st.sampled_from([None, performance(), performance(True)]),
            new_years=st.sampled_from([(), (2027,)]),
            window=st.fixed_dictionaries({"rows": st.sampled_from([0, 1, 1_000])}),
        ),
        max_size=12,
    )
)
def test_whatever_comes_no_two_retrainings_within_the_cooldown(windows: list[Measurements]) -> None:
    decisions = walk(*windows, every=7)
    retrained = [place for place, one in enumerate(decisions) if one.action == "retrain"]
    assert all(later - earlier >= POLICY.cooldown_days / 7 for earlier, later in pairwise(retrained))
    for one, window in zip(decisions, windows, strict=True):
        assert one.reasons, "every decision says why"
        assert (one.action == "keep") == (not one.active)
        assert set(one.firing) <= set(one.active) <= set(KINDS)
        assert not (one.action == "retrain" and window.drift is not None and window.drift.broken)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"confirmm": 2}, "unknown key `monitor.confirmm`, did you mean `confirm`?"),
        ({"drift": {"ignore": ["wheels"]}}, "no such feature: wheels"),
        ({"performance": {"auc": 0.1}}, "unknown key `monitor.performance.auc`"),
        ({"min_rows": 3}, "`monitor.min_rows`"),
        ({"probation": {"error_rate": 2}}, "`monitor.probation.error_rate`"),
    ],
)
def test_the_policy_is_strict(wrong: dict, words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        parse(Params, {"monitor": wrong}, "params.yaml")


def test_defaults_are_those_of_params_yaml() -> None:
    assert load_params(Path(__file__).parents[3] / "params.yaml").monitor == MonitorSettings()
