"""Performance of a champion on labelled accidents, against what its test part promised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.evaluation.metrics import HIGHER_IS_BETTER, Estimate, evaluate
from accidents.monitoring.callers import hangs_on
from accidents.monitoring.measurements import Figure, PerformanceMeasures
from accidents.monitoring.monitor_settings import MonitorSettings, PerformancePolicy

MEASURED = ("roc_auc", "pr_auc", "brier", "ece", "recall_at_budget", "calibration_gap")
_DRAWS = 100  # of a bootstrap that is asked once a caller
_Z = NormalDist().inv_cdf(0.975)


def measure_performance(
    window: pd.DataFrame,
    holdout: pd.DataFrame | None,
    policy: PerformancePolicy,
    budget: float,
    n_bootstrap: int,
    seed: int,
) -> PerformanceMeasures:
    """Metrics of labelled accidents with 95 % intervals, and which of them are worse than promised.

    Parameters
    ----------
    window, holdout : columns `severe` (0 or 1) and `p_severe`; the holdout is the test part of training, None
        for bundles without one: then nothing is judged.
    """
    now = figures(window, budget, n_bootstrap, seed)
    promised = {} if holdout is None else figures(holdout, budget, n_bootstrap, seed)
    judged = {name: limit for name, limit in policy.judged.items() if name in promised}
    chance = policy.significance / max(len(judged), 1)
    return PerformanceMeasures(
        accidents=len(window),
        severe=int(window["severe"].sum()),
        figures=tuple(
            _figure(name, now[name], promised.get(name), judged.get(name), chance) for name in MEASURED
        ),
    )


def ask_callers(
    rows: pd.DataFrame, measured: PerformanceMeasures, policy: MonitorSettings, budget: float, seed: int
) -> PerformanceMeasures:
    """Return the same with, of each lost metric and a gap to be mended, the caller that it hangs on.

    Each by itself: else one who spoils one metric would bear witness for another, or hide it.

    Parameters
    ----------
    rows : the labelled accidents that were measured, with `caller` (who asked) and `giver` (who labelled;
        "" who may correct).
    """
    voices = _voices(rows)
    known: dict[bytes, frozenset[str]] = {}

    def holds(left: npt.NDArray[np.bool_], metric: str) -> bool:
        place = left.tobytes()
        if place not in known:  # a bootstrap, of which every metric comes
            known[place] = _lost_without(rows[left], measured, policy, budget, seed)
        return metric in known[place]

    asked = {figure.metric for figure in measured.losses}
    if gap_to_mend(measured.calibration_gap, policy):
        asked.add("calibration_gap")
    hanging = {metric: hangs_on(voices, partial(holds, metric=metric)) for metric in sorted(asked)}
    figures = tuple(
        figure.model_copy(update={"hangs_on": hanging.get(figure.metric)}) for figure in measured.figures
    )
    everything = list(hanging.values())
    return measured.model_copy(
        update={"figures": figures, "hangs_on": everything[0] if everything and all(everything) else None}
    )


def _voices(rows: pd.DataFrame) -> list[npt.NDArray[np.object_]]:
    """Who asked and who labelled; nobody where the label is trusted, whoever asked."""
    asked, gave = (rows[name].to_numpy(dtype=object) for name in ("caller", "giver"))
    return [np.where(gave == "", "", asked).astype(object), gave]


def gap_to_mend(gap: Figure | None, policy: MonitorSettings) -> bool:
    """Whether a calibration gap is as large as a recalibration wants it, by more than chance."""
    if policy.recalibrate is None or gap is None or gap.value is None:
        return False
    return abs(gap.value) >= policy.recalibrate.gap and beyond_chance(gap, policy.performance.significance)


def _recalibration_may_follow(measured: PerformanceMeasures, policy: MonitorSettings) -> bool:
    enough = policy.recalibrate is not None and measured.accidents >= policy.recalibrate.min_labels
    return enough and gap_to_mend(measured.calibration_gap, policy)


def why_not_fitted(rows: pd.DataFrame, policy: MonitorSettings, from_log: bool) -> str:
    """Say why a calibration is not to be fitted on these labelled accidents; an empty text if it is.

    What was decided on is asked again of what is fitted: labels came and went since, and changed.
    """
    if policy.recalibrate is not None and len(rows) < policy.recalibrate.min_labels:
        return (
            f"{len(rows):,} labelled accidents are left that the champion has not learnt from "
            f"(monitor.recalibrate.min_labels: {policy.recalibrate.min_labels:,})"
        )
    if not from_log:
        return ""
    whole, chance = _gap_of(rows), policy.performance.significance

    def holds(left: npt.NDArray[np.bool_]) -> bool:
        gap = _gap_of(rows[left])
        same = (gap.value or 0) * (whole.value or 0) > 0
        return int(left.sum()) >= policy.min_labels and same and beyond_chance(gap, chance)

    caller = hangs_on(_voices(rows), holds)
    return (
        f"there is no calibration gap without {caller}, and one caller moves no probabilities"
        if caller
        else ""
    )


def _gap_of(rows: pd.DataFrame) -> Figure:
    severe, predicted = (rows[name].to_numpy(np.float64) for name in ("severe", "p_severe"))
    return _figure("calibration_gap", calibration_gap(severe, predicted), None, None, 0.5)


def _lost_without(
    rows: pd.DataFrame, measured: PerformanceMeasures, policy: MonitorSettings, budget: float, seed: int
) -> frozenset[str]:
    """Return which metrics these of the accidents alone lose as much, by more than chance.

    Of a gap that is not lost, or that a recalibration may mend, whether it is to be mended: that wants less,
    and who makes a loss of a gap that all others have must not keep it from them. They must be as many as say
    anything: else a handful that one caller has left over would bear witness.
    """
    if len(rows) < policy.min_labels or rows["severe"].nunique() < 2:
        return frozenset()
    now = figures(rows, budget, _DRAWS, seed)
    judged = policy.performance.judged
    chance = policy.performance.significance / max(len(judged), 1)
    lost = {
        loss.metric
        for loss in measured.losses
        if loss.expected is not None
        and _loss(loss.metric, now[loss.metric].value, loss.expected)
        >= max(judged[loss.metric], _beyond(chance, now[loss.metric]))
    }
    gap, whole = now["calibration_gap"], measured.calibration_gap
    if whole is None or whole.value is None or gap.value * whole.value <= 0:
        lost.discard("calibration_gap")  # off the other way: no witness of this gap
    elif not whole.counts or _recalibration_may_follow(measured, policy):
        lost.discard("calibration_gap")
        if gap_to_mend(_figure("calibration_gap", gap, None, None, chance), policy):
            lost.add("calibration_gap")
    return frozenset(lost)


def figures(rows: pd.DataFrame, budget: float, n_bootstrap: int, seed: int) -> Mapping[str, Estimate]:
    """Every metric measured, with intervals bootstrapped over accidents; calibration gap as a mean."""
    severe, predicted = (rows[name].to_numpy(np.float64) for name in ("severe", "p_severe"))
    measured = evaluate(severe, predicted, budget, n_bootstrap, seed).metrics
    return {**measured, "calibration_gap": calibration_gap(severe, predicted)}


def calibration_gap(severe: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> Estimate:
    """Observed share of severe accidents less the mean prediction: above 0, the model says too little."""
    difference = severe - predicted
    value = float(difference.mean())
    half = _Z * float(difference.std()) / math.sqrt(len(difference))
    return Estimate(value, value - half, value + half)


def beyond_chance(figure: Figure, significance: float) -> bool:
    """Whether a figure is further from 0 than chance takes it, either way, with this probability."""
    if figure.value is None or figure.low is None or figure.high is None:
        return False
    return abs(figure.value) > _beyond(significance, Estimate(figure.value, figure.low, figure.high))


def _figure(
    name: str, now: Estimate, promised: Estimate | None, limit: float | None, chance: float
) -> Figure:
    loss = None if promised is None else _loss(name, now.value, promised.value)
    counts = (
        limit is not None
        and promised is not None
        and loss is not None
        and math.isfinite(loss)
        and loss >= limit
        and loss > _by_chance(now, promised, chance)
    )
    return Figure(
        metric=name,
        value=_known(now.value),
        low=_known(now.low),
        high=_known(now.high),
        expected=_known(promised.value) if promised else None,
        loss=None if loss is None else _known(loss),
        counts=counts,
    )


def _loss(name: str, now: float, promised: float) -> float:
    """How much worse than promised; a calibration gap is as bad on either side."""
    if name == "calibration_gap":
        return abs(now) - abs(promised)
    return promised - now if HIGHER_IS_BETTER[name] else now - promised


def _by_chance(now: Estimate, promised: Estimate, chance: float) -> float:
    """Return the loss that two samples of one distribution exceed with this probability."""
    return math.hypot(_beyond(chance, now), _beyond(chance, promised))


def _beyond(chance: float, estimate: Estimate) -> float:
    """How far from its value the true one is with this probability, on either side together."""
    return NormalDist().inv_cdf(1 - chance / 2) * (estimate.high - estimate.low) / (2 * _Z)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
