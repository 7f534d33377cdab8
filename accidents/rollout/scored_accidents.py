"""Accidents of the prediction log that a version on trial has scored, as they are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.bundle import Bundle
from accidents.rollout.trial_comparison import Answers, TrialComparison, compare_trial
from accidents.scoring.score import probabilities


@dataclass(frozen=True)
class Scored:
    """Their features, what the version gave, their labels (NaN: none yet), and who asked; each [n]."""

    frame: pd.DataFrame
    p_severe: npt.NDArray[np.float64]
    severe: npt.NDArray[np.float64]
    callers: npt.NDArray[np.object_]


def scored_by(digest: str, rows: Iterable[Mapping[str, Any]], features: list[str], no_key: str) -> Scored:
    """Return the accidents that a version answered, or scored as a shadow.

    Parameters
    ----------
    rows : as `PredictionLog.read` gives them with `shadow=digest`.
    features : those of the champion.
    no_key : stands for a caller without a key.
    """
    kept = [
        (row, row["probability"] if row["model_digest"] == digest else row["shadow"])
        for row in rows
        if row["model_digest"] == digest or row["shadow"] is not None
    ]
    values = [[_number(row["features"].get(name)) for name in features] for row, _ in kept]
    matrix = np.array(values, dtype=np.float32).reshape(len(kept), len(features))
    return Scored(
        pd.DataFrame(matrix, columns=features),
        np.array([p for _, p in kept], dtype=np.float64),
        np.array([_number(row["severe"]) for row, _ in kept], dtype=np.float64),
        np.array([row["key_name"] or no_key for row, _ in kept], dtype=object),
    )


def compare_scored(scored: Scored, champion: Bundle, trial: Bundle, seed: int) -> TrialComparison | None:
    """Return what the champion gives for the same accidents, held against it; None where there are none."""
    if not len(scored.frame):
        return None
    by_champion = probabilities(champion.model, scored.frame[champion.features].to_numpy(dtype=np.float32))
    return compare_trial(
        scored.frame,
        scored.severe,
        Answers(by_champion, champion.threshold, champion.bands),
        Answers(scored.p_severe, trial.threshold, trial.bands),
        seed,
    )


def _number(value: float | bool | None) -> float:
    return np.nan if value is None else float(value)
