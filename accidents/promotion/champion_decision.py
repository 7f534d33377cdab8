"""Whether a challenger becomes champion: a pure function of what was measured, with its reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import Field, field_validator

from accidents.evaluation.metrics import HIGHER_IS_BETTER, Comparison
from accidents.evaluation.slices import SliceComparison
from accidents.promotion.gates import GateReport, check_name
from accidents.strict import Strict


class PromotionSettings(Strict):
    """How champion and challenger are held against each other."""

    metric: str = "pr_auc"
    tie_margin: float = Field(default=0.01, ge=0)  # a tie may lose this much, no more: small losses add up
    refuse_worse_slices: bool = True

    @field_validator("metric")
    @classmethod
    def _ranks_models(cls, metric: str) -> str:
        check_name("metric that ranks models", metric, HIGHER_IS_BETTER)
        return metric


DEFAULT_SETTINGS = PromotionSettings()


@dataclass(frozen=True)
class ChampionComparison:
    """Champion and challenger on the same test accidents: overall, and per group of a slice."""

    champion: str
    overall: Comparison
    slices: Sequence[SliceComparison] = ()

    @property
    def worse_slices(self) -> tuple[SliceComparison, ...]:
        """Groups in which the challenger is worse by more than noise."""
        return tuple(part for part in self.slices if part.comparison.verdict == "worse")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        slices = [part.to_dict() for part in self.slices]
        return {"champion": self.champion, "overall": self.overall.to_dict(), "slices": slices}


@dataclass(frozen=True)
class Freshness:
    """Last month of the data each was trained on, "2018-12".

    None where it is not known or there is no champion.
    """

    challenger: str | None
    champion: str | None = None

    @property
    def fresher(self) -> bool:
        """True if the challenger is known to have learnt from later data than the champion."""
        return bool(self.challenger and self.champion and self.challenger > self.champion)


@dataclass(frozen=True)
class PromotionDecision:
    """Promote or not, why in a sentence, and the name of the rule that decided."""

    promote: bool
    rule: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def decide(
    gates: GateReport,
    comparison: ChampionComparison | None,
    freshness: Freshness,
    settings: PromotionSettings = DEFAULT_SETTINGS,
) -> PromotionDecision:
    """Promote only if every gate passes and the challenger is to succeed the champion.

    `comparison` is None where there is no champion yet: then the gates alone decide.
    """
    if not gates.passed:
        return _refused_by_gates(gates)
    if comparison is None:
        return PromotionDecision(
            True, "first", f"All {len(gates.results)} gates pass and there is no champion yet."
        )
    succession = decide_succession(comparison, freshness, settings)
    if not succession.promote:
        return succession
    return replace(succession, reason=f"All {len(gates.results)} gates pass. {succession.reason}")


def decide_succession(
    comparison: ChampionComparison, freshness: Freshness, settings: PromotionSettings = DEFAULT_SETTINGS
) -> PromotionDecision:
    """Have the challenger succeed only if it beats the champion by more than noise; a fresher one by a tie.

    The one rule of it: of training, and of a replay, which has no gates.
    """
    difference = _in_words(comparison)
    if comparison.overall.verdict == "worse":
        return PromotionDecision(
            False, "worse", f"The champion stays: the challenger is worse, {difference}."
        )
    if settings.refuse_worse_slices and comparison.worse_slices:
        where = ", ".join(part.label for part in comparison.worse_slices)
        return PromotionDecision(
            False, "worse_slice", f"The champion stays: the challenger is worse for {where}."
        )
    if comparison.overall.verdict == "better":
        return PromotionDecision(True, "better", f"The challenger is better, {difference}.")
    return _tie(comparison, freshness, settings, difference)


def _refused_by_gates(gates: GateReport) -> PromotionDecision:
    if not gates.results:
        return PromotionDecision(
            False, "gates", "No gate was checked, so nothing vouches for the model; add gates in params.yaml."
        )
    refusals = "; ".join(f"{gate.gate}: wanted {gate.wanted}, found {gate.found}" for gate in gates.refusals)
    return PromotionDecision(
        False, "gates", f"{len(gates.refusals)} of {len(gates.results)} gates refuse. {refusals}."
    )


def _tie(
    comparison: ChampionComparison, freshness: Freshness, settings: PromotionSettings, difference: str
) -> PromotionDecision:
    if (
        not comparison.overall.difference >= -settings.tie_margin
    ):  # "not >=" also refuses an undefined difference
        return PromotionDecision(
            False, "tie", f"The champion stays: no clear difference, but too large a loss, {difference}."
        )
    if freshness.fresher:
        learnt = f"it learnt from data up to {freshness.challenger}, the champion up to {freshness.champion}"
        return PromotionDecision(True, "tie_fresher", f"The two tie, {difference}; {learnt}.")
    return PromotionDecision(
        False,
        "tie",
        f"The champion stays: a tie, {difference}, and the challenger is not known to be fresher.",
    )


def _in_words(comparison: ChampionComparison) -> str:
    c = comparison.overall
    return (
        f"{c.metric} {c.challenger:.4f} against {c.champion:.4f} of champion {comparison.champion} "
        f"on the same {c.accidents:,} accidents "
        f"(gain {c.difference:+.4f}, interval {c.low:+.4f} to {c.high:+.4f})"
    )
