"""The gate of a refit: what is deployed may not be worse calibrated than what was judged."""

from __future__ import annotations

import numpy as np
import pandas as pd

from accidents.evaluation.metrics import EvaluationSettings, compare
from accidents.promotion.gates import GateResult

MARGIN = 0.01  # calibrated on the latest months, a whole test year may be off by this much


def check_refit(
    predictions: pd.DataFrame, unseen: pd.DataFrame, settings: EvaluationSettings, seed: int
) -> GateResult:
    """Return a refit's gate: on accidents of the test it is calibrated as well as the model that was judged.

    Neither was fitted to them: the refit's P(severe), `p_unseen`, is out of fold, by a calibration on the
    other folds, and NaN where there is none.
    What is lost must be within chance, or `MARGIN`.
    """
    p = unseen["p_unseen"].to_numpy()
    known = ~np.isnan(p)
    comparison = compare(
        predictions["severe"][known], predictions["model"][known], p[known], "ece", settings.budget,
        settings.n_bootstrap, seed,
    )  # fmt: skip
    numbers = (
        f"{comparison.challenger:.3f} against {comparison.champion:.3f} on {comparison.accidents:,} accidents"
    )
    wanted = f"ECE no more than {MARGIN:g} worse, beyond chance, than that of the model that was judged"
    return GateResult("refit: calibration", wanted, numbers, comparison.high >= -MARGIN)
