"""Gates: what a model must show before it may be promoted.

A list in params.yaml, refused if one names nothing real. A gate that could not be measured has not been
passed, unless it says `if_unmeasured: allow`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd
from pydantic import model_validator

from accidents.did_you_mean import nearest
from accidents.evaluation.behaviour import CHECKS, BehaviourResult
from accidents.evaluation.metrics import (
    HIGHER_IS_BETTER,
    METRICS,
    Comparison,
    Estimate,
    Evaluation,
    EvaluationSettings,
    compare,
)
from accidents.evaluation.slices import SLICES, SliceResult
from accidents.strict import Strict

EVERY = "every"
BASELINES = ("prevalence", "logistic_regression", "random_forest")


class GateSettings(Strict):
    """One gate, of one of four kinds.

    {metric: roc_auc, min: 0.75, on: low}                     a bound on a metric of the whole test set
    {slice: pedestrians, group: hit, metric: roc_auc, min: .6} the same in one group, or `every` (the default)
    {behaviour: higher_speed_limit}                            a behavioural check, or `every`
    {baseline: logistic_regression, metric: pr_auc}            better than a baseline, by more than noise

    `on` is the number held against the bounds: the value, or an end of its 95 % interval.
    """

    metric: str | None = None
    min: float | None = None
    max: float | None = None
    on: Literal["value", "low", "high"] = "value"
    slice: str | None = None
    group: str = EVERY
    behaviour: str | None = None
    baseline: str | None = None
    if_unmeasured: Literal["refuse", "allow"] = "refuse"

    @model_validator(mode="after")
    def _is_one_gate(self) -> GateSettings:
        if self.behaviour is not None:
            check_name("behavioural check", self.behaviour, (*(check.name for check in CHECKS), EVERY))
            self._only("behaviour", "if_unmeasured")
        elif self.baseline is not None:
            check_name("baseline", self.baseline, (*BASELINES, EVERY))
            check_name("metric that ranks models", self.metric, HIGHER_IS_BETTER)
            self._only("baseline", "metric", "if_unmeasured")
        else:
            self._is_bound()
        return self

    def _is_bound(self) -> None:
        check_name("metric", self.metric, METRICS)
        if self.min is None and self.max is None:
            raise ValueError(
                f"the gate on {self.metric} has neither `min` nor `max`, so it would refuse nothing"
            )
        if self.slice is None:
            self._only("metric", "min", "max", "on")
            return
        groups = {definition.name: definition.groups for definition in SLICES}
        check_name("slice", self.slice, (*groups, EVERY))
        if self.slice != EVERY:
            check_name(f"group of slice {self.slice}", self.group, (*groups[self.slice], EVERY))
        elif self.group != EVERY:
            raise ValueError(f"the gate on group {self.group!r} must name the slice it belongs to")

    def _only(self, *keys: str) -> None:
        # A default counts as not said: settings go through JSON and back with every field in them.
        fields = type(self).model_fields
        stray = sorted(key for key in fields.keys() - set(keys) if getattr(self, key) != fields[key].default)
        if stray:
            raise ValueError(
                f"`{'`, `'.join(stray)}` means nothing for this gate; it takes {', '.join(keys)}"
            )

    def measured(self, estimate: Estimate) -> float:
        """Return the number that is held against the bounds."""
        return float(getattr(estimate, self.on))

    def room(self, estimate: Estimate) -> float:
        """How far inside the bounds; negative outside, and minus infinity for an undefined number."""
        number = self.measured(estimate)
        if not math.isfinite(number):
            return -math.inf
        below = math.inf if self.max is None else self.max - number
        return min(below, math.inf if self.min is None else number - self.min)

    @property
    def wanted(self) -> str:
        """What the gate asks, in words."""
        if self.metric is None:
            return "passes"
        if self.baseline is not None:
            return f"better {self.metric}"
        side = {"value": "", "low": "lower bound of ", "high": "upper bound of "}[self.on]
        ends = [
            f"{word} {end:g}"
            for word, end in (("at least", self.min), ("at most", self.max))
            if end is not None
        ]
        return f"{side}{self.metric} {' and '.join(ends)}"


class GateRules(Strict):
    """The gates, and how what they ask for is measured."""

    gates: tuple[GateSettings, ...] = ()
    evaluation: EvaluationSettings = EvaluationSettings()
    seed: int = 7


@dataclass(frozen=True)
class GateResult:
    """One gate: what was wanted, what was found, and whether that passes."""

    gate: str
    wanted: str
    found: str
    passed: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class GateReport:
    """All gates held against one model."""

    results: tuple[GateResult, ...]

    @property
    def passed(self) -> bool:
        """True if there are gates and all pass: no gate vouches for nothing."""
        return bool(self.results) and not self.refusals

    @property
    def refusals(self) -> tuple[GateResult, ...]:
        """The gates that do not pass."""
        return tuple(result for result in self.results if not result.passed)

    def and_also(self, result: GateResult) -> GateReport:
        """With one more gate."""
        return GateReport((*self.results, result))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"passed": self.passed, "gates": [result.to_dict() for result in self.results]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> GateReport:
        """Return the inverse of `to_dict`."""
        return cls(tuple(GateResult(**result) for result in content["gates"]))


def compare_with_baselines(rules: GateRules, predictions: pd.DataFrame) -> dict[str, dict[str, Comparison]]:
    """Return what baseline gates ask for, {baseline: {metric: comparison}}; the baseline is the champion.

    `predictions` has columns severe, model, and one for each baseline.
    """
    comparisons: dict[str, dict[str, Comparison]] = {}
    for gate in rules.gates:
        names = BASELINES if gate.baseline == EVERY else (gate.baseline,)
        for name in filter(None, names):
            metric = str(gate.metric)  # a baseline gate names one: GateSettings sees to it
            severe, champion, challenger = (predictions[column] for column in ("severe", name, "model"))
            comparisons.setdefault(name, {})[metric] = compare(
                severe, champion, challenger, metric, budget=rules.evaluation.budget,
                n_bootstrap=rules.evaluation.n_bootstrap, seed=rules.seed,
            )  # fmt: skip
    return comparisons


def check_gates(
    gates: Sequence[GateSettings],
    evaluation: Evaluation,
    slices: Sequence[SliceResult] = (),
    behaviour: Sequence[BehaviourResult] = (),
    baselines: Mapping[str, Mapping[str, Comparison]] | None = None,
) -> GateReport:
    """Hold every gate against what was measured on the test set.

    `baselines` is {baseline: {metric: comparison}} with the baseline as champion and the model as challenger.
    """
    results: list[GateResult] = []
    for gate in gates:
        if gate.behaviour is not None:
            results += _behaviour_results(gate, behaviour)
        elif gate.baseline is not None:
            results += _baseline_results(gate, baselines or {})
        elif gate.slice is not None:
            results.append(_slice_result(gate, slices))
        else:
            results.append(_metric_result(gate, evaluation))
    return GateReport(tuple(results))


def _metric_result(gate: GateSettings, evaluation: Evaluation) -> GateResult:
    estimate = evaluation[str(gate.metric)]
    return GateResult(str(gate.metric), gate.wanted, str(estimate), gate.room(estimate) >= 0)


def _slice_result(gate: GateSettings, slices: Sequence[SliceResult]) -> GateResult:
    """One line a gate: the group that breaks it most, or comes nearest to it."""
    metric = str(gate.metric)
    named = [s for s in slices if gate.slice in (EVERY, s.slice) and gate.group in (EVERY, s.group)]
    measured = [
        (gate.room(s.evaluation[metric]), s, s.evaluation[metric]) for s in named if s.evaluation is not None
    ]
    where = "every slice" if gate.slice == EVERY else str(gate.slice)
    title = f"{metric} in {where}" + ("" if gate.group == EVERY else f": {gate.group}")
    if not measured:
        why = "; ".join(f"{s.group}: {s.note}" for s in named) or "no such accidents"
        return GateResult(title, gate.wanted, f"not measured ({why})", gate.if_unmeasured == "allow")
    room, shown, estimate = min(measured, key=lambda margin: margin[0])
    failing = sum(margin[0] < 0 for margin in measured)
    others = f" and {failing - 1} other groups" if failing > 1 else ""
    words = f"{estimate} in {shown.label}{others} (lowest margin of {len(measured)} measured)"
    return GateResult(title, gate.wanted, words, room >= 0)


def _behaviour_results(gate: GateSettings, results: Sequence[BehaviourResult]) -> Iterator[GateResult]:
    named = [result for result in results if gate.behaviour in (EVERY, result.check)]
    if not named:
        yield GateResult(f"behaviour {gate.behaviour}", gate.wanted, "not run", gate.if_unmeasured == "allow")
    for result in named:
        passed = gate.if_unmeasured == "allow" if result.passed is None else result.passed
        yield GateResult(f"behaviour {result.check}", result.wanted, result.measured, passed)


def _baseline_results(
    gate: GateSettings, baselines: Mapping[str, Mapping[str, Comparison]]
) -> Iterator[GateResult]:
    metric = str(gate.metric)
    for name in BASELINES if gate.baseline == EVERY else (str(gate.baseline),):
        comparison = baselines.get(name, {}).get(metric)
        if comparison is None:
            yield GateResult(f"beats {name}", gate.wanted, "not measured", gate.if_unmeasured == "allow")
        else:
            numbers = f"{metric} {comparison.challenger:.3f} against {comparison.champion:.3f}"
            yield GateResult(
                f"beats {name}",
                gate.wanted,
                f"{comparison.verdict}: {numbers}",
                comparison.verdict == "better",
            )


def check_name(kind: str, name: str | None, valid: Iterable[str]) -> None:
    """Raise ValueError, with the nearest name there is, unless `name` is one."""
    names = list(valid)
    if name in names:
        return
    listed = ", ".join(names)
    if name is None:
        raise ValueError(f"the gate names no {kind}; valid: {listed}")
    near = nearest(name, names)
    hint = f"; nearest: {near!r}" if near else ""
    raise ValueError(f"{name!r} is no {kind}{hint}. Valid: {listed}")
