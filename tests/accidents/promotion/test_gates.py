"""Gates: they refuse what they should, and a gate that names nothing real is itself refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accidents.config import parse
from accidents.errors import SettingsError
from accidents.evaluation.behaviour import CHECKS, BehaviourResult
from accidents.evaluation.metrics import METRICS, Comparison, Estimate, Evaluation
from accidents.evaluation.slices import SliceResult
from accidents.promotion.gates import GateReport, GateRules, GateSettings, check_gates


def evaluation(**values: float) -> Evaluation:
    """Every metric 0.5 unless given, with an interval of ±0.05."""
    numbers = {name: values.get(name, 0.5) for name in METRICS}
    return Evaluation(1_000, 300, 0.2, {name: Estimate(v, v - 0.05, v + 0.05) for name, v in numbers.items()})


def part(slice: str, group: str, roc_auc: float | None) -> SliceResult:
    measured = None if roc_auc is None else evaluation(roc_auc=roc_auc)
    return SliceResult(slice, slice, group, 500, 100, measured, "" if measured else "too few to measure")


def behaved(passed: bool | None) -> BehaviourResult:
    check = CHECKS[0]
    return BehaviourResult(check.name, check.title, check.wanted, 100, 0.1, 0.0, passed)


def gate_settings(*gates: dict[str, Any]) -> tuple[GateSettings, ...]:
    """`gates` of params.yaml, read as everything in it is."""
    return parse(GateRules, {"gates": gates}, "params.yaml").gates


def checked(gate: dict[str, Any], *args: Any, **options: Any) -> bool:
    return check_gates(gate_settings(gate), *(args or (evaluation(),)), **options).passed


@pytest.mark.parametrize(
    ("gate", "passes"),
    [
        ({"min": 0.5}, True),
        ({"min": 0.51}, False),
        ({"max": 0.5}, True),
        ({"max": 0.49}, False),
        ({"min": 0.45, "on": "low"}, True),
        ({"min": 0.46, "on": "low"}, False),
        ({"max": 0.54, "on": "high"}, False),
        ({"min": 0.4, "max": 0.49}, False),
    ],
)
def test_bounds_hold_on_the_side_they_name(gate: dict[str, Any], passes: bool):
    assert checked({"metric": "roc_auc", **gate}) is passes


@pytest.mark.parametrize("bound", [{"min": 0.0}, {"max": 1.0}])
def test_an_undefined_metric_passes_no_gate(bound: dict[str, float]):
    assert not checked({"metric": "roc_auc", **bound}, evaluation(roc_auc=np.nan))


def test_no_gates_pass_nothing():
    assert not GateReport(()).passed


def test_one_refusal_refuses_all_and_says_why():
    gates = gate_settings({"metric": "roc_auc", "min": 0.1}, {"metric": "ece", "max": 0.03})
    report = check_gates(gates, evaluation())
    assert not report.passed
    assert [(one.gate, one.wanted) for one in report.refusals] == [("ece", "ece at most 0.03")]
    assert report.refusals[0].found.startswith("0.500 [")


def test_slice_gate_holds_for_the_worst_group():
    slices = [
        part("light", "daylight", 0.8),
        part("light", "night, lit", 0.55),
        part("built_up", "inside", 0.5),
    ]
    gate = {"slice": "light", "metric": "roc_auc", "min": 0.6}
    report = check_gates(gate_settings(gate), evaluation(), slices)
    assert not report.passed
    assert "light: night, lit" in report.results[0].found
    assert checked({**gate, "group": "daylight"}, evaluation(), slices)
    assert not checked({**gate, "slice": "every"}, evaluation(), slices)
    assert checked({**gate, "min": 0.5}, evaluation(), slices)


def test_slice_with_an_undefined_metric_refuses_beside_good_ones():
    slices = [part("light", "daylight", 0.8), part("light", "night, lit", np.nan)]
    assert not checked({"slice": "light", "metric": "roc_auc", "min": 0.1}, evaluation(), slices)


@pytest.mark.parametrize("slices", [[], [part("pedestrians", "hit", None)]])
def test_a_gate_that_could_not_be_measured_refuses_unless_allowed(slices: list[SliceResult]):
    gate = {"slice": "pedestrians", "group": "hit", "metric": "roc_auc", "min": 0.1}
    assert not checked(gate, evaluation(), slices)
    assert checked({**gate, "if_unmeasured": "allow"}, evaluation(), slices)


@pytest.mark.parametrize(("outcome", "refuses"), [(True, False), (False, True), (None, True)])
def test_behaviour_gates(outcome: bool | None, refuses: bool):
    for name in (CHECKS[0].name, "every"):
        assert checked({"behaviour": name}, evaluation(), behaviour=[behaved(outcome)]) is not refuses
    allowed = {"behaviour": "every", "if_unmeasured": "allow"}
    assert checked(allowed, evaluation(), behaviour=[behaved(outcome)]) is (outcome is not False)


def test_behaviour_that_was_never_run_refuses():
    assert not checked({"behaviour": "every"})


@pytest.mark.parametrize(
    ("low", "high", "passes"), [(0.01, 0.03, True), (-0.01, 0.03, False), (-0.03, -0.01, False)]
)
def test_baseline_gate_wants_more_than_noise(low: float, high: float, passes: bool):
    middle = (low + high) / 2
    compared = {
        "random_forest": {"pr_auc": Comparison("pr_auc", 1_000, 0.5, 0.5 + middle, middle, low, high)}
    }
    gate = {"baseline": "random_forest", "metric": "pr_auc"}
    assert checked(gate, evaluation(), baselines=compared) is passes
    assert not checked(gate, evaluation())


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"metric": "rocauc", "min": 0.5}, "`gates.0` 'rocauc' is no metric; nearest: 'roc_auc'"),
        ({"metric": "roc_auc"}, "neither `min` nor `max`"),
        ({"min": 0.5}, "names no metric"),
        ({}, "names no metric"),
        ({"slice": "pedestrian", "metric": "ece", "max": 1}, "nearest: 'pedestrians'"),
        ({"slice": "pedestrians", "group": "hitt", "metric": "ece", "max": 1}, "nearest: 'hit'"),
        ({"slice": "every", "group": "hit", "metric": "ece", "max": 1}, "must name the slice"),
        ({"group": "hit", "metric": "ece", "max": 1}, "`group` means nothing"),
        ({"behaviour": "speed_limit"}, "nearest: 'higher_speed_limit'"),
        ({"behaviour": "every", "min": 0.1}, "`min` means nothing"),
        ({"baseline": "forest", "metric": "pr_auc"}, "nearest: 'random_forest'"),
        (
            {"baseline": "random_forest", "metric": "prevalence"},
            "'prevalence' is no metric that ranks models",
        ),
        ({"metrics": "ece", "max": 1}, "unknown key `gates.0.metrics`, did you mean `metric`"),
        ({"metric": "ece", "max": "low"}, "`gates.0.max`"),
        ({"metric": "ece", "max": 1, "on": "lower"}, "`gates.0.on`"),
    ],
)
def test_a_gate_that_means_nothing_is_a_settings_error(gate: dict[str, Any], message: str):
    with pytest.raises(SettingsError, match=message):
        gate_settings(gate)
