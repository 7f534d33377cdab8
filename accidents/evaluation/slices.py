"""The same figures for parts of the test set: where, when and who.

A part too small to measure is listed as such. Slices are declared once, here, on the columns that
`build_features` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.evaluation.metrics import (
    BUDGET,
    Alerts,
    Comparison,
    Evaluation,
    alerts_for_budget,
    compare,
    evaluate,
)
from accidents.progress import track

Mask = npt.NDArray[np.bool_]
NOT_STATED = "not stated"
NOWHERE_STATED = "no accident states it"
SMALLEST = 200  # accidents: below, the interval of a ROC-AUC is wider than 0.15
SMALLEST_CLASS = 20  # severe, and other, accidents

# Régions since 2016, by département number as in the features (2A is 201, 2B 202).
REGIONS: Mapping[str, tuple[int, ...]] = {
    "Île-de-France": (75, 77, 78, 91, 92, 93, 94, 95),
    "Hauts-de-France": (2, 59, 60, 62, 80),
    "Normandie": (14, 27, 50, 61, 76),
    "Bretagne": (22, 29, 35, 56),
    "Pays de la Loire": (44, 49, 53, 72, 85),
    "Centre-Val de Loire": (18, 28, 36, 37, 41, 45),
    "Grand Est": (8, 10, 51, 52, 54, 55, 57, 67, 68, 88),
    "Bourgogne-Franche-Comté": (21, 25, 39, 58, 70, 71, 89, 90),
    "Auvergne-Rhône-Alpes": (1, 3, 7, 15, 26, 38, 42, 43, 63, 69, 73, 74),
    "Nouvelle-Aquitaine": (16, 17, 19, 23, 24, 33, 40, 47, 64, 79, 86, 87),
    "Occitanie": (9, 11, 12, 30, 31, 32, 34, 46, 48, 65, 66, 81, 82),
    "Provence-Alpes-Côte d'Azur": (4, 5, 6, 13, 83, 84),
    "Corse": (201, 202),
    "overseas": (971, 972, 973, 974, 975, 976, 977, 978, 986, 987, 988),
}


def _codes(feature: str, *codes: int) -> Callable[[pd.DataFrame], Mask]:
    return lambda frame: frame[feature].isin(codes).to_numpy(bool)


def _from_to(feature: str, first: int, last: int) -> Callable[[pd.DataFrame], Mask]:
    return lambda frame: frame[feature].between(first, last).to_numpy(bool)


def _some(*features: str) -> Callable[[pd.DataFrame], Mask]:
    return lambda frame: (frame[list(features)] > 0).any(axis=1).to_numpy(bool)


def _none(*features: str) -> Callable[[pd.DataFrame], Mask]:
    return lambda frame: (frame[list(features)] == 0).all(axis=1).to_numpy(bool)


@dataclass(frozen=True)
class Slice:
    """One way to cut the test set: each accident is in the first group whose test it passes.

    `columns` are the features that the tests look at.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    tests: Mapping[str, Callable[[pd.DataFrame], Mask]]

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, for gates and reports."""
        return tuple(self.tests)

    def masks(self, frame: pd.DataFrame) -> Iterator[tuple[str, Mask]]:
        """(group, rows in it), and last the rows in none; these alone if no accident states a group."""
        free = np.ones(len(frame), dtype=bool)
        groups = []
        for group, test in self.tests.items():
            rows = free & test(frame)
            free &= ~rows
            groups.append((group, rows))
        if not free.all():
            yield from groups
        if free.any():
            yield NOT_STATED, free


_POWERED, _BICYCLES = ("mopeds", "motorcycles"), ("bicycles",)
SLICES: tuple[Slice, ...] = (
    Slice("region", "Region", ("department",), {
        name: _codes("department", *codes) for name, codes in REGIONS.items()}),
    Slice("built_up", "Built-up area", ("built_up",), {
        "outside": _codes("built_up", 1), "inside": _codes("built_up", 2)}),
    Slice("hour", "Hour", ("hour",), {
        "0-5 h": _from_to("hour", 0, 5), "6-9 h": _from_to("hour", 6, 9), "10-15 h": _from_to("hour", 10, 15),
        "16-19 h": _from_to("hour", 16, 19), "20-23 h": _from_to("hour", 20, 23)}),
    Slice("two_wheelers", "Two-wheelers", (*_POWERED, *_BICYCLES), {
        "motorcycle or moped": _some(*_POWERED), "bicycle": _some(*_BICYCLES),
        "none": _none(*_POWERED, *_BICYCLES)}),
    Slice("pedestrians", "Pedestrians", ("pedestrian",), {
        "hit": _some("pedestrian"), "none": _none("pedestrian")}),
    Slice("light", "Light", ("light",), {
        "daylight": _codes("light", 1), "dusk or dawn": _codes("light", 2),
        "night, unlit": _codes("light", 3, 4), "night, lit": _codes("light", 5)}),
)  # fmt: skip


@dataclass(frozen=True)
class SliceResult:
    """One group of a slice; `evaluation` is None, and `note` says why, where it could not be measured."""

    slice: str
    title: str
    group: str
    accidents: int
    severe: int
    evaluation: Evaluation | None
    note: str = ""

    @property
    def label(self) -> str:
        """For people: "Pedestrians: hit"."""
        return f"{self.title}: {self.group}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        metrics = None if self.evaluation is None else self.evaluation.to_dict()["metrics"]
        return {
            "slice": self.slice,
            "group": self.group,
            "accidents": self.accidents,
            "severe": self.severe,
            "note": self.note,
            "metrics": metrics,
        }


@dataclass(frozen=True)
class SliceComparison:
    """Champion and challenger within one group of a slice."""

    label: str
    comparison: Comparison

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"label": self.label, **self.comparison.to_dict()}


def evaluate_slices(
    frame: pd.DataFrame,
    y: npt.ArrayLike,
    p: npt.ArrayLike,
    budget: float = BUDGET,
    n_bootstrap: int = 300,
    seed: int = 7,
    alerts: Alerts | None = None,
    smallest: int = SMALLEST,
) -> tuple[SliceResult, ...]:
    """Every group of every slice, in the order declared.

    Recall and precision at the budget count the accidents that the whole test set's budget reaches (or
    `alerts`, if given): a group has no budget of its own. `frame` is as `build_features` gives it; y and p
    are (n accidents,). Groups with fewer than `smallest` accidents, or than 20 of either outcome, are listed
    without figures.
    """
    labels, scores = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    reached = alerts or alerts_for_budget(scores, budget)
    return tuple(
        result
        for definition in track(SLICES, "Slices")
        for result in evaluate_slice(
            definition, frame, labels, scores, budget, n_bootstrap, seed, reached, smallest
        )
    )


def evaluate_slice(
    definition: Slice,
    frame: pd.DataFrame,
    labels: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float64],
    budget: float,
    n_bootstrap: int,
    seed: int,
    reached: Alerts,
    smallest: int = SMALLEST,
) -> list[SliceResult]:
    """Every group of one slice, as `evaluate_slices` does; `frame` needs its `columns` alone."""
    results = []
    for group, rows in definition.masks(frame):
        note = NOWHERE_STATED if group == NOT_STATED and rows.all() else _too_small(labels[rows], smallest)
        measured = None if note else evaluate(labels[rows], scores[rows], budget, n_bootstrap, seed, reached)
        counts = int(rows.sum()), int(labels[rows].sum())
        results.append(SliceResult(definition.name, definition.title, group, *counts, measured, note))
    return results


def compare_slices(
    frame: pd.DataFrame,
    y: npt.ArrayLike,
    p_champion: npt.ArrayLike,
    p_challenger: npt.ArrayLike,
    metric: str = "pr_auc",
    n_bootstrap: int = 1000,
    seed: int = 7,
    smallest: int = SMALLEST,
) -> tuple[SliceComparison, ...]:
    """Champion and challenger in each group large enough.

    With some thirty groups, one in twenty would differ by chance: intervals are widened to 95 % for all
    together (Bonferroni).
    """
    labels, old, new = (np.asarray(a, dtype=float) for a in (y, p_champion, p_challenger))
    groups = [
        (f"{definition.title}: {group}", rows)
        for definition in SLICES
        for group, rows in definition.masks(frame)
        if not rows.all() and not _too_small(labels[rows], smallest)
    ]
    level = 1 - 0.05 / max(len(groups), 1)
    return tuple(
        SliceComparison(
            label, compare(labels[rows], old[rows], new[rows], metric, BUDGET, n_bootstrap, seed, level)
        )
        for label, rows in track(groups, "Slices of champion and challenger")
    )


def _too_small(y: npt.NDArray[np.float64], smallest: int) -> str:
    """Why a group cannot be measured; empty if it can."""
    severe = int(y.sum())
    if not len(y):
        return "no accidents"
    if len(y) < smallest or min(severe, len(y) - severe) < SMALLEST_CLASS:
        return f"only {len(y):,} accidents, {severe:,} of them severe: too few to measure"
    return ""
