"""A version on trial against the champion, on the accidents that it scored: the same ones for both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.evaluation.metrics import Comparison, compare
from accidents.evaluation.slices import NOT_STATED, SLICES, SMALLEST, SMALLEST_CLASS
from accidents.vocabulary.bands import band_of

METRICS = ("roc_auc", "pr_auc", "brier")
_N_BOOTSTRAP = 300
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What a version says of the accidents, P(severe) float64 [n], and what it makes of a probability."""

    p_severe: Doubles
    threshold: float
    bands: Mapping[str, float]

    @property
    def alerts(self) -> npt.NDArray[np.bool_]:
        """Whether it raises an alert, [n]."""
        return self.p_severe >= self.threshold

    @property
    def band_names(self) -> list[str]:
        """The band of each accident, [n]."""
        return [band_of(p, self.bands) for p in self.p_severe]


@dataclass(frozen=True)
class GroupAgreement:
    """How far apart the two are in one group of a slice."""

    label: str
    accidents: int
    champion: float
    trial: float
    band_changes: float


@dataclass(frozen=True)
class TrialComparison:
    """How far two versions agree, and which is right where that is known.

    Attributes
    ----------
    champion, trial : mean P(severe).
    difference, apart : of the trial from the champion: the mean, and the mean without its sign.
    farthest : the difference that one accident in twenty exceeds, without its sign.
    same_band, same_alert : shares of the accidents.
    bands : accidents by the champion's band, then by the trial's.
    outcomes : by metric, on the labelled accidents; empty as long as they are too few.
    note : why `outcomes` is empty.
    notes : what was left out of the accidents.
    """

    accidents: int
    labelled: int
    champion: float
    trial: float
    difference: float
    apart: float
    farthest: float
    same_band: float
    same_alert: float
    bands: Mapping[str, Mapping[str, int]]
    groups: tuple[GroupAgreement, ...]
    outcomes: tuple[Comparison, ...]
    note: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {
            "groups": [asdict(group) for group in self.groups],
            "outcomes": [outcome.to_dict() for outcome in self.outcomes],
        }


def compare_trial(
    frame: pd.DataFrame, severe: Doubles, champion: Answers, trial: Answers, seed: int
) -> TrialComparison | None:
    """Hold a trial against the champion; None where it has scored nothing yet.

    Parameters
    ----------
    frame : the features of the accidents, one row each.
    severe : 1, 0, or NaN while there is no label, float64 [n].
    """
    if not len(frame):
        return None
    apart = np.abs(trial.p_severe - champion.p_severe)
    old, new = champion.band_names, trial.band_names
    changed = np.array([a != b for a, b in zip(old, new, strict=True)])
    outcomes, note = _outcomes(severe, champion, trial, seed)
    return TrialComparison(
        accidents=len(frame),
        labelled=int(np.isfinite(severe).sum()),
        champion=float(champion.p_severe.mean()),
        trial=float(trial.p_severe.mean()),
        difference=float((trial.p_severe - champion.p_severe).mean()),
        apart=float(apart.mean()),
        farthest=float(np.quantile(apart, 0.95)),
        same_band=float(1 - changed.mean()),
        same_alert=float((champion.alerts == trial.alerts).mean()),
        bands=_crossed(old, new, champion.bands, trial.bands),
        groups=_groups(frame, champion, trial, changed),
        outcomes=outcomes,
        note=note,
    )


def _crossed(
    old: list[str], new: list[str], rows: Mapping[str, float], columns: Mapping[str, float]
) -> dict[str, dict[str, int]]:
    """How many accidents of each band of the champion are in which band of the trial."""
    pairs = pd.Series(list(zip(old, new, strict=True))).value_counts().to_dict()
    return {row: {column: int(pairs.get((row, column), 0)) for column in columns} for row in rows}


def _groups(
    frame: pd.DataFrame, champion: Answers, trial: Answers, changed: npt.NDArray[np.bool_]
) -> tuple[GroupAgreement, ...]:
    return tuple(
        GroupAgreement(
            f"{definition.title}: {group}",
            int(rows.sum()),
            float(champion.p_severe[rows].mean()),
            float(trial.p_severe[rows].mean()),
            float(changed[rows].mean()),
        )
        for definition in SLICES
        for group, rows in definition.masks(frame)
        if rows.any() and not (group == NOT_STATED and rows.all())
    )


def _outcomes(
    severe: Doubles, champion: Answers, trial: Answers, seed: int
) -> tuple[tuple[Comparison, ...], str]:
    known = np.isfinite(severe)
    labels = severe[known]
    fewer = min(labels.sum(), len(labels) - labels.sum()) if len(labels) else 0
    if len(labels) < SMALLEST or fewer < SMALLEST_CLASS:
        return (), (
            f"{len(labels):,} of them are labelled so far: from {SMALLEST} on, with {SMALLEST_CLASS} of each "
            "outcome, it is told which version was right."
        )
    old, new = champion.p_severe[known], trial.p_severe[known]
    comparisons = (
        compare(labels, old, new, metric, n_bootstrap=_N_BOOTSTRAP, seed=seed) for metric in METRICS
    )
    return tuple(comparisons), ""
