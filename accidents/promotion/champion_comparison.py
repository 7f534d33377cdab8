"""The candidate against the champion on the same test accidents, and the rules before any figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from accidents.bundle import Bundle
from accidents.evaluation.metrics import Evaluation, EvaluationSettings, compare, evaluate
from accidents.evaluation.slices import compare_slices
from accidents.promotion.champion_decision import (
    ChampionComparison,
    Freshness,
    PromotionDecision,
    PromotionSettings,
    decide,
)
from accidents.promotion.gates import GateReport
from accidents.strict import Strict
from accidents.training.trained_model import Model

ENOUGH_UNSEEN = 1_000  # accidents the champion has not learnt from; with fewer, all are compared


class JudgingSettings(Strict):
    """How champion and challenger are held against each other."""

    promotion: PromotionSettings = PromotionSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    seed: int = 7


@dataclass(frozen=True)
class Judgement:
    """What was decided, and everything it was decided on."""

    decision: PromotionDecision
    gates: GateReport
    comparison: ChampionComparison | None = None
    champion: Evaluation | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **self.decision.to_dict(),
            **self.gates.to_dict(),
            "comparison": self.comparison.to_dict() if self.comparison else None,
            "champion": self.champion.to_dict() if self.champion else None,
            "notes": list(self.notes),
        }


def judge(
    gates: GateReport,
    candidate: Bundle,
    champion: Bundle | None,
    champion_version: str,
    test_rows: pd.DataFrame,
    predicted: np.ndarray,
    rules: JudgingSettings,
    scored: Callable[[Model], np.ndarray] | None = None,
) -> Judgement:
    """Decide about a candidate. Compared are the models that were judged, not refits that saw the test.

    Parameters
    ----------
    champion : the champion's bundle, None if there is none yet.
    test_rows : as `build_features` gives them, with labels.
    predicted : P(severe) of those rows from the candidate's model that was judged, float64 [n].
    scored : what a model gives of those rows, float64 [n], where `test_rows` do not have its features.
    """
    if champion is None:
        return Judgement(decide(gates, None, freshness(candidate, None), rules.promotion), gates)
    if is_same(candidate, champion):
        same = PromotionDecision(
            False,
            "same",
            f"This is the champion already: version {champion_version}, made from the same data, parameters "
            "and code.",
        )
        return Judgement(same, gates)
    if is_synthetic(candidate) and not is_synthetic(champion):
        refused = PromotionDecision(
            False,
            "synthetic",
            "The champion stays: it learnt from real accidents, the candidate from synthetic ones.",
        )
        return Judgement(refused, gates)
    there = candidate.features if scored else test_rows.columns
    unknown = set(champion.features) - set(there)
    if unknown:
        gone = ", ".join(sorted(unknown))
        note = f"Not compared: champion {champion_version} uses features that are no more ({gone})."
        return Judgement(
            decide(gates, None, freshness(candidate, champion), rules.promotion), gates, notes=(note,)
        )
    rows, notes = _unseen(candidate, champion, test_rows)
    kept = test_rows[rows]
    reigning = (
        scored(champion.judged)[rows]
        if scored
        else champion.judged.predict_matrix(kept[champion.features].to_numpy(np.float32))
    )
    compared = _compare(champion_version, kept, reigning, predicted[rows], rules)
    evaluation = rules.evaluation
    measured = evaluate(kept["severe"], reigning, evaluation.budget, evaluation.n_bootstrap, rules.seed)
    decision = decide(gates, compared, freshness(candidate, champion), rules.promotion)
    return Judgement(decision, gates, compared, measured, notes)


def is_same(bundle: Bundle, other: Bundle) -> bool:
    """Whether two bundles are the same version: made from the same, or the same byte for byte."""
    return bundle.digest == other.digest or (
        bundle.identity is not None and bundle.identity == other.identity
    )


def is_synthetic(bundle: Bundle) -> bool:
    """Whether a bundle learnt from the sample rather than from published files."""
    return bool(bundle.facts["synthetic"])


def freshness(candidate: Bundle, champion: Bundle | None) -> Freshness:
    """Return the last month each learnt from."""
    return Freshness(
        candidate.facts["learnt_from"][-1], champion.facts["learnt_from"][-1] if champion else None
    )


def _unseen(candidate: Bundle, champion: Bundle, rows: pd.DataFrame) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which test rows the champion has not learnt from: it would look too good on the others.

    What learnt from synthetic accidents has seen no real one, whatever their months.
    """
    month = rows["year"].astype(str) + "-" + rows["month"].astype(str).str.zfill(2)
    seen = month.isin(champion.judged_learnt_from).to_numpy()
    if is_synthetic(champion) != is_synthetic(candidate) or not seen.any():
        return np.ones(len(rows), dtype=bool), ()
    if (~seen).sum() >= ENOUGH_UNSEEN:
        return ~seen, (
            f"{seen.sum():,} test accidents that the champion learnt from are left out of the comparison.",
        )
    return np.ones(len(rows), dtype=bool), (
        "The champion learnt from these test accidents, which favours it.",
    )


def _compare(
    version: str, rows: pd.DataFrame, reigning: np.ndarray, predicted: np.ndarray, rules: JudgingSettings
) -> ChampionComparison:
    severe, metric = rows["severe"].to_numpy(float), rules.promotion.metric
    draws, budget = rules.evaluation.n_bootstrap, rules.evaluation.budget
    overall = compare(severe, reigning, predicted, metric, budget, draws, rules.seed)
    # Bonferroni over some thirty groups looks far into the tails: 1,000 draws at least.
    slices = compare_slices(rows, severe, reigning, predicted, metric, max(draws, 1_000), rules.seed)
    return ChampionComparison(f"version {version}", overall, slices)
