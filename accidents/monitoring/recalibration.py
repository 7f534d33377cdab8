"""Mending probabilities from labels: the same trees, and the three numbers of the calibration fitted again.

A shift of severity, which comes every year, moves the level of the probabilities and hardly their order. Some
two thousand labels mend that, where a retraining needs a whole year of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accidents.bundle import HOLDOUT, Bundle, write_bundle
from accidents.bundle.provenance import identity_of
from accidents.evaluation.metrics import compare, evaluate
from accidents.promotion.champion_decision import PromotionDecision
from accidents.promotion.gates import GateReport, GateResult, GateRules, GateSettings
from accidents.training.calibration import BetaCalibration
from accidents.vocabulary.months import month_name, month_number

HELD_BACK = 1 / 3  # of the labelled accidents, the latest: they judge what the earlier ones taught
ENOUGH_FOR_BOUNDS = 2_000  # held back; of fewer, ECE and the like tell more of chance than of the model
CALIBRATION_METRICS = ("ece", "brier", "log_loss")


@dataclass(frozen=True)
class Recalibration:
    """The new calibration, the gates that it was held against, and what it was learnt from."""

    calibration: BetaCalibration
    gates: GateReport
    decision: PromotionDecision
    facts: dict[str, Any]


def recalibrate(bundle: Bundle, labelled: pd.DataFrame, version: str, rules: GateRules) -> Recalibration:
    """Fit the calibration of champion `version` again on labelled accidents, as a monitoring window has them.

    Gates of ranking need not be asked again: a calibration changes no order. What can get worse are the
    probabilities, so those of the latest accidents are judged by a calibration that has not seen them.
    """
    time = ["created"] if "created" in labelled else ["year", "month"]  # a drawn log has no order of its own
    rows = labelled.sort_values(time, kind="stable")
    raw = bundle.model.uncalibrated(rows[bundle.features].to_numpy(np.float32))
    severe, before = rows["severe"].to_numpy(np.float64), bundle.model.calibration
    early = len(rows) - round(len(rows) * HELD_BACK)
    tried = BetaCalibration.fit(raw[:early], severe[:early], prior=before)
    calibration = BetaCalibration.fit(raw, severe, prior=before)
    late, mended = severe[early:], tried.apply(raw[early:])
    gates = GateReport(
        (_better_late(late, before.apply(raw[early:]), mended, rules), *_bounds(late, mended, rules))
    )
    facts = {
        "version": version,
        "labels": len(rows),
        "months": _months(rows),
        "before": before.to_dict(),
        **_learnt(rows, bundle.facts.get("recalibrated", {})),
    }
    return Recalibration(calibration, gates, _decide(gates, len(rows), version), facts)


def write_recalibrated(folder: Path, bundle: Bundle, made: Recalibration) -> Bundle:
    """Return the champion's bundle with its new calibration, and all that follows from it."""
    model = bundle.model.calibrated_by(made.calibration)
    reference = pd.read_parquet(bundle.folder / "reference.parquet")
    reference["p_severe"] = model.predict_matrix(reference[bundle.features].to_numpy(np.float32))
    if "p_unseen" in reference:
        raw = bundle.model.calibration.undo(reference["p_unseen"].to_numpy())
        reference["p_unseen"] = made.calibration.apply(raw)
    holdout = pd.read_parquet(bundle.folder / HOLDOUT) if (bundle.folder / HOLDOUT).exists() else None
    section = f"\n## Recalibrated\n\n{_sentence(made.facts)}\n"
    card = (bundle.folder / "model_card.md").read_text(encoding="utf-8")
    return write_bundle(
        folder, model, _facts(bundle, made), reference, card + section, holdout, bundle.judged
    )


def _facts(bundle: Bundle, made: Recalibration) -> Mapping[str, Any]:
    """Every accident keeps its rank, so the same accidents are alerted, from another probability."""
    raw = bundle.model.calibration.undo(np.array([bundle.threshold]))
    judged = {"learnt_from": bundle.judged_learnt_from, "threshold": bundle.threshold}
    return {
        "judged": judged,
        **bundle.facts,
        "identity": identity_of({"of": bundle.identity, "to": made.calibration.to_dict(), **made.facts}),
        "threshold": float(made.calibration.apply(raw)[0]),
        "recalibrated": made.facts,
    }


def _learnt(rows: pd.DataFrame, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return the labels that `window.unlearnt` leaves out from now on, with those of recalibrations before.

    Of a log all that were asked about until a moment, of files whole months.
    """
    until, of_files = earlier.get("log_until"), set(earlier.get("file_months", ()))
    if "created" in rows:
        newest = max(rows["created"].max(), pd.Timestamp(until or rows["created"].max()))
        until = min(newest.tz_convert("UTC"), pd.Timestamp.now("UTC")).isoformat()  # else a clock was ahead
    else:
        of_files |= set(_months(rows))
    return {"log_until": until, "file_months": sorted(of_files)}


def _better_late(severe: np.ndarray, before: np.ndarray, after: np.ndarray, rules: GateRules) -> GateResult:
    settings = rules.evaluation
    comparison = compare(severe, before, after, "log_loss", settings.budget, settings.n_bootstrap, rules.seed)
    numbers = f"{comparison.verdict}: log_loss {comparison.challenger:.4f} against {comparison.champion:.4f}"
    return GateResult(
        "recalibrated: the latest labels", "log_loss not worse than before", numbers, comparison.high >= 0
    )


def _bounds(severe: np.ndarray, p: np.ndarray, rules: GateRules) -> tuple[GateResult, ...]:
    """Return the gates of params.yaml on whole-set metrics that a calibration can change."""
    gates = [gate for gate in rules.gates if _is_calibration(gate)]
    if len(severe) < ENOUGH_FOR_BOUNDS:
        why = f"not measured: {len(severe):,} labels held back, fewer than {ENOUGH_FOR_BOUNDS:,}"
        return tuple(GateResult(str(gate.metric), gate.wanted, why, True) for gate in gates)
    estimates = evaluate(severe, p, rules.evaluation.budget, rules.evaluation.n_bootstrap, rules.seed)
    return tuple(
        GateResult(str(gate.metric), gate.wanted, str(estimate), gate.room(estimate) >= 0)
        for gate in gates
        for estimate in (estimates[str(gate.metric)],)
    )


def _is_calibration(gate: GateSettings) -> bool:
    return gate.metric in CALIBRATION_METRICS and gate.slice is None and gate.baseline is None


def _decide(gates: GateReport, labels: int, version: str) -> PromotionDecision:
    if gates.passed:
        return PromotionDecision(
            True, "recalibrated", f"Version {version} with its calibration fitted on {labels:,} new labels."
        )
    refusals = "; ".join(
        f"{refusal.gate}: wanted {refusal.wanted}, found {refusal.found}" for refusal in gates.refusals
    )
    return PromotionDecision(False, "gates", f"The champion stays: {refusals}.")


def _sentence(facts: Mapping[str, Any]) -> str:
    months = facts["months"]
    return (
        f"The trees of version {facts['version']}, with the calibration fitted again on {facts['labels']:,} "
        f"labelled accidents of {months[0]} to {months[-1]}. The figures above are of before."
    )


def _months(rows: pd.DataFrame) -> list[str]:
    known = rows[["year", "month"]].dropna().astype(int)
    return [month_name(month) for month in sorted(set(month_number(known["year"], known["month"])))]
