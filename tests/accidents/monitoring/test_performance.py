"""Performance against what was promised: losses are found, noise is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from accidents.monitoring.callers import NO_KEY
from accidents.monitoring.measurements import PerformanceMeasures
from accidents.monitoring.monitor_settings import (
    MonitorSettings,
    PerformancePolicy,
    RecalibrationPolicy,
)
from accidents.monitoring.performance import (
    MEASURED,
    ask_callers,
    gap_to_mend,
    measure_performance,
    why_not_fitted,
)

POLICY, MONITOR = PerformancePolicy(), MonitorSettings()


def rows(n: int, seed: int, shift: float = 0.0, signal: float = 1.0) -> pd.DataFrame:
    """n predictions that are right, but for `shift` in log-odds and the share of the signal they have."""
    rng = np.random.default_rng(seed)
    score = rng.normal(-0.6, 1.2, n)
    truth = signal * score + (1 - signal) * rng.normal(-0.6, 1.2, n) + shift
    severe = rng.random(n) < 1 / (1 + np.exp(-truth))
    return pd.DataFrame({"severe": severe.astype(float), "p_severe": 1 / (1 + np.exp(-score))})


def measure(window: pd.DataFrame, policy: PerformancePolicy = POLICY) -> PerformanceMeasures:
    return measure_performance(window, rows(10_000, 99), policy, budget=0.2, n_bootstrap=100, seed=7)


def hanging(
    window: pd.DataFrame, callers: np.ndarray | str, givers: np.ndarray | str | None = None
) -> dict[str, str | None]:
    """Of all metrics that are lost, or a gap to be mended, the caller that each hangs on; "" of all."""
    window = window.assign(caller=callers, giver=callers if givers is None else givers)
    asked = ask_callers(window, measure(window), MONITOR, 0.2, 7)
    gap = {"calibration_gap"} if gap_to_mend(asked.calibration_gap, MONITOR) else set()
    found = {one.metric: one.hangs_on for one in asked.figures if one.counts or one.metric in gap}
    return found | {"": asked.hangs_on}


def lost(measured: PerformanceMeasures) -> list[str]:
    return [one.metric for one in measured.losses]


def test_every_metric_has_an_interval_around_it_and_what_was_promised() -> None:
    measured = measure(rows(2_000, 1))
    assert tuple(one.metric for one in measured.figures) == MEASURED
    for one in measured.figures:
        assert one.low <= one.value <= one.high, one
        assert one.expected is not None
    assert (measured.accidents, lost(measured)) == (2_000, [])


def test_chance_is_no_loss() -> None:
    found = sum(bool(lost(measure(rows(2_000, seed)))) for seed in range(40))
    assert found <= 2


@pytest.mark.parametrize("seed", range(5))
def test_more_severe_accidents_than_predicted_are_found_and_so_are_fewer(seed: int) -> None:
    assert "calibration_gap" in lost(measure(rows(2_000, seed, shift=0.6)))
    assert "calibration_gap" in lost(measure(rows(2_000, seed, shift=-0.6)))


@pytest.mark.parametrize("seed", range(5))
def test_a_ranking_that_is_lost_is_found(seed: int) -> None:
    assert "roc_auc" in lost(measure(rows(2_000, seed, signal=0.3)))


def test_a_large_loss_in_few_rows_is_not_taken_for_one() -> None:
    few = measure(rows(60, 3, shift=0.25))
    gap = next(one for one in few.figures if one.metric == "calibration_gap")
    assert gap.high - gap.low > 0.2
    assert not gap.counts


def test_what_is_not_judged_is_measured_all_the_same() -> None:
    measured = measure(rows(2_000, 1, shift=0.6), PerformancePolicy(calibration_gap=None))
    gap = next(one for one in measured.figures if one.metric == "calibration_gap")
    assert gap.loss > 0.05
    assert not gap.counts


def test_a_champion_that_promised_nothing_is_measured_and_not_judged() -> None:
    measured = measure_performance(rows(2_000, 1, shift=1), None, POLICY, 0.2, 100, 7)
    assert lost(measured) == []
    assert all(one.expected is None for one in measured.figures)


def test_shuffled_labels_are_a_loss() -> None:
    window = rows(2_000, 5)
    window["severe"] = window["severe"].sample(frac=1, random_state=1).to_numpy()
    assert "roc_auc" in lost(measure(window))


@pytest.mark.parametrize(("attacked", "who"), [(True, "attacker"), (False, None)])
def test_a_loss_by_coin_toss_labels_hangs_on_who_gave_them(attacked: bool, who: str | None) -> None:
    callers = np.resize(np.array(["lyon", "lille", "metz"], dtype=object), 3_000)
    window = rows(3_000, 1) if attacked else rows(3_000, 1, signal=0.3)
    if attacked:
        tossed = rows(6_000, 2).assign(severe=np.resize([0.0, 1.0], 6_000))
        window = pd.concat([window, tossed], ignore_index=True)
        callers = np.concatenate([callers, np.full(6_000, "attacker", dtype=object)])
    measured = measure(window)
    assert lost(measured)
    assert hanging(window, callers)[""] == who


def test_a_gap_too_small_to_be_a_loss_hangs_on_who_made_it_too() -> None:
    callers = np.repeat(np.array(["lyon", "lille", "attacker"], dtype=object), 2_000)
    window = pd.concat([rows(4_000, 1), rows(2_000, 3, shift=0.35)], ignore_index=True)
    measured = measure(window)
    assert not lost(measured)
    assert hanging(window, callers)[""] == "attacker"


@pytest.mark.parametrize(
    ("caller", "giver", "who"),
    [(NO_KEY, NO_KEY, None), ("lyon", "", None), ("lyon", "lyon", "lyon"), (NO_KEY, "lyon", NO_KEY)],
)
def test_one_caller_alone_teaches_without_keys_or_by_labels_of_who_may_correct(
    caller: str, giver: str, who: str | None
) -> None:
    shifted = rows(3_000, 1, shift=0.6)
    assert hanging(shifted, caller, giver)["calibration_gap"] == who
    refused = why_not_fitted(shifted.assign(caller=caller, giver=giver), MONITOR, from_log=True)
    assert bool(refused) == bool(who)


def test_where_some_have_a_key_those_without_are_a_caller() -> None:
    callers = np.array([NO_KEY] * 2_900 + ["lyon"] * 100, dtype=object)
    assert hanging(rows(3_000, 1, shift=0.6), callers)["calibration_gap"] == NO_KEY


def test_a_trusted_label_does_not_vouch_for_the_callers_own() -> None:
    tossed = rows(3_000, 2).assign(severe=np.resize([0.0, 1.0], 3_000))
    window = pd.concat([rows(3_000, 1), tossed], ignore_index=True)
    givers = np.array([""] * 3_000 + ["attacker"] * 3_000, dtype=object)
    assert hanging(window, "attacker", givers)[""] == "attacker"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("others", [30, 250, 600])
def test_a_handful_of_others_bear_no_witness_by_chance(others: int, seed: int) -> None:
    tossed = rows(2_000, seed).assign(severe=np.resize([0.0, 1.0], 2_000))
    window = pd.concat([tossed, rows(others, 100 + seed)], ignore_index=True)
    callers = np.array(["attacker"] * 2_000 + ["lyon"] * others, dtype=object)
    measured = measure(window)
    assert lost(measured)
    assert hanging(window, callers)[""] == "attacker"


def test_who_spoils_one_metric_neither_hides_nor_bears_witness_for_another() -> None:
    """All others have a shift of severity; one caller's labels are coin tosses that ruin the ranking too."""
    shifted = rows(6_000, 1, shift=0.5)
    tossed = rows(3_000, 2).assign(severe=np.resize([0.0, 1.0], 3_000))
    window = pd.concat([shifted, tossed], ignore_index=True)
    callers = np.append(np.resize(np.array(["lyon", "lille"], dtype=object), 6_000), ["attacker"] * 3_000)
    assert hanging(window, callers) == {"roc_auc": "attacker", "calibration_gap": None, "": None}


@pytest.mark.parametrize(("least", "who"), [(1_000, None), (20_000, "attacker")])
def test_who_makes_a_loss_of_a_gap_that_all_have_blocks_no_recalibration(least: int, who: str | None) -> None:
    """It wants less of a gap than a loss is; where a retraining alone may follow, a loss is asked about."""
    window = pd.concat([rows(12_000, 1, shift=0.13), rows(3_000, 2, shift=0.9)], ignore_index=True)
    callers = np.append(np.resize(np.array(["lyon", "lille"], dtype=object), 12_000), ["attacker"] * 3_000)
    policy = MonitorSettings(recalibrate=RecalibrationPolicy(min_labels=least))
    measured = measure(window)
    assert lost(measured) == ["calibration_gap"]
    assert lost(measure(window[:12_000])) == [], "the others' is too small to be a loss"
    asked = ask_callers(window.assign(caller=callers, giver=callers), measured, policy, 0.2, 7)
    assert asked.calibration_gap is not None
    assert asked.calibration_gap.hangs_on == who


def test_a_gap_the_other_way_is_no_witness() -> None:
    """Fewer are severe than predicted, but one caller says that nearly all are."""
    usual, raised = rows(2_000, 1, shift=-0.3), rows(3_000, 2, shift=1.5)
    window = pd.concat([usual, raised], ignore_index=True)
    callers = np.append(np.resize(np.array(["lyon", "lille"], dtype=object), 2_000), ["attacker"] * 3_000)
    assert hanging(window, callers)["calibration_gap"] == "attacker"


def test_what_is_fitted_is_asked_again_for_one_caller_and_for_its_number() -> None:
    window = pd.concat([rows(2_000, 1), rows(1_000, 3, shift=1.5)], ignore_index=True)
    callers = np.array(["lyon", "lille"] * 1_000 + ["attacker"] * 1_000, dtype=object)
    asked = window.assign(caller=callers, giver=callers)
    assert "no calibration gap without attacker" in why_not_fitted(asked, MONITOR, from_log=True)
    assert why_not_fitted(asked, MONITOR, from_log=False) == ""
    assert "999 labelled accidents are left" in why_not_fitted(asked[:999], MONITOR, from_log=False)
    shifted = rows(3_000, 1, shift=0.6).assign(caller=callers, giver=callers)
    assert why_not_fitted(shifted, MONITOR, from_log=True) == ""
