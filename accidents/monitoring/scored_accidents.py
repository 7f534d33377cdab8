"""Accidents of the prediction log that a version on trial has scored, as they are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.bundle import Bundle
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.window import capped, log_window, unlearnt
from accidents.rollout.trial_comparison import Answers, TrialComparison, compare_trial
from accidents.scoring.score import probabilities


@dataclass(frozen=True)
class Scored:
    """Their features, what the version gave, their labels (NaN: none, or learnt from), and what was noted."""

    frame: pd.DataFrame
    p_severe: npt.NDArray[np.float64]
    severe: npt.NDArray[np.float64]
    notes: tuple[str, ...] = ()


def scored_by(
    trial: Bundle, champion: Bundle, rows: Iterable[Mapping[str, Any]], policy: MonitorSettings, seed: int
) -> Scored:
    """Return the accidents that a version answered, or scored as a shadow, as a window counts them.

    That is once each, with the last prediction; at most a share from one caller; and without labels that
    contradict each other, or that either of the two has learnt from.

    Parameters
    ----------
    rows : as `PredictionLog.read` gives them with the trial's digest as `shadow`.
    """
    own = (
        dict(row) | {"probability": row["shadow"], "model_digest": trial.digest}
        if row["model_digest"] != trial.digest
        else row
        for row in rows
        if row["model_digest"] == trial.digest or row["shadow"] is not None
    )
    window = capped(log_window(own, champion, None, datetime.now(UTC)), policy, seed)
    severe = window.frame["severe"].to_numpy(np.float64)
    for bundle in (champion, trial):
        severe = np.where(window.frame.index.isin(unlearnt(window, bundle).index), severe, np.nan)
    served = window.frame["served"].to_numpy(np.float64)
    return Scored(window.frame[champion.features], served, severe, window.notes)


def compare_scored(scored: Scored, champion: Bundle, trial: Bundle, seed: int) -> TrialComparison | None:
    """Return what the champion gives for the same accidents, held against it; None where there are none."""
    if not len(scored.frame):
        return None
    by_champion = probabilities(champion.model, scored.frame[champion.features].to_numpy(dtype=np.float32))
    comparison = compare_trial(
        scored.frame,
        scored.severe,
        Answers(by_champion, champion.threshold, champion.bands),
        Answers(scored.p_severe, trial.threshold, trial.bands),
        seed,
    )
    return None if comparison is None else replace(comparison, notes=scored.notes)
