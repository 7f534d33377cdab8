"""The model that is deployed: learnt from every labelled row, after its like has been judged.

What is held back for judging is the latest there is, and costs in use. So the model is fitted again on all
parts. Each of its bags leaves out a fold of the last twelve months; scored by trees and places that have not
seen them, these rows calibrate the refit. It is judged by the probabilities of each fold, calibrated on the
others; these set its alert threshold, and are what drift is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.evaluation.metrics import Evaluation, alerts_for_budget, evaluate
from accidents.evaluation.results import Results
from accidents.features import feature_names
from accidents.lightgbm.booster import Booster
from accidents.progress import track
from accidents.training.calibration import BetaCalibration
from accidents.training.fit_bags import boost, labelled, of_bags
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import PlaceEncoder
from accidents.training.reference import learnt_from
from accidents.training.trained_model import Model
from accidents.training.tree_inputs import LabelledRows, unseen_inputs

FOLDS = 10  # at least: with fewer bags than folds the rows of the others have no score out of fold
MONTHS = 12
HALF_LIFE = 3.0  # months: severity drifts within a year and between years, so the latest weigh most

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Folds = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Refit:
    """The refitted model, and what it says of rows that it learnt from.

    `unseen` is P(severe) out of fold, float64 [n], of trees, places and a calibration that were not fitted to
    the row; NaN for rows that every bag has seen.
    """

    model: Model
    unseen: Doubles


def refit(rows: pd.DataFrame, settings: ModelSettings, stage: str, seed: int) -> Refit:
    """Fit on all `rows`, as `build_features` gives them, every one with a label."""
    names = feature_names(stage)
    known = LabelledRows.of(*labelled(rows, names), names)
    age = months_before_the_last(rows)
    fold = folds(age, settings, seed)
    numbers = track(range(settings.bags), "Refitting bags of trees")
    bags = [refit_bag(known, fold == number, settings, stage, seed, number) for number in numbers]
    places = PlaceEncoder.fit(known.place, known.y)
    return put_together(bags, places, known.y, age, fold, stage)


def folds(age: Doubles, settings: ModelSettings, seed: int) -> Folds:
    """Return the bag that leaves out each row, by its age in months; -1 of rows that all learn from."""
    fold = np.random.default_rng(seed).integers(max(settings.bags, FOLDS), size=len(age)).astype(np.int8)
    fold[age >= MONTHS] = -1
    return fold


def refit_bag(
    rows: LabelledRows,
    held: npt.NDArray[np.bool_],
    settings: ModelSettings,
    stage: str,
    seed: int,
    bag: int,
    memory: float = math.inf,
) -> tuple[Booster, Doubles]:
    """Return one bag, grown in `memory` bytes, and its raw scores of the rows that it was held back from."""
    scale = len(rows) / (~held).sum()  # densities as all rows give them
    booster = boost(rows, np.flatnonzero(~held), settings, stage, seed, bag, scale, memory)
    return booster, booster.score(unseen_inputs(rows, held, scale))


def put_together(
    bags: Sequence[tuple[Booster, Doubles]],
    places: PlaceEncoder,
    y: Floats,
    age: Doubles,
    fold: Folds,
    stage: str,
) -> Refit:
    """Average what `refit_bag` gave, in the order of the bags, and calibrate it on what they held back."""
    scores = np.full(len(y), np.nan)
    for number, (_, held_back) in enumerate(bags):
        scores[fold == number] = held_back
    model = of_bags([booster for booster, _ in bags], places, stage)
    known, unseen = ~np.isnan(scores), np.full(len(y), np.nan)
    rows = _sigmoid(scores[known]), y[known].astype(np.float64), recency(age[known])
    model.calibration = BetaCalibration.fit(*rows)
    # One bag holds back one fold: then halves of it calibrate each other.
    unseen[known] = _cross_calibrated(*rows, fold[known] if len(bags) > 1 else np.arange(known.sum()) % 2)
    return Refit(model, unseen)


def _cross_calibrated(
    probability: Doubles, label: Doubles, weight: Doubles, part: npt.NDArray[np.integer[Any]]
) -> Doubles:
    """Return the probabilities of each part, calibrated by what the other parts say, float64 [n]."""
    calibrated = np.empty(len(probability))
    for held in (part == each for each in np.unique(part)):
        fitted = BetaCalibration.fit(probability[~held], label[~held], weight[~held])
        calibrated[held] = fitted.apply(probability[held])
    return calibrated


def recency(age: Doubles) -> Doubles:
    """Return what a row weighs in calibration by its age in months, float64 [n]."""
    return 0.5 ** (age / HALF_LIFE)


def refit_facts(
    facts: Mapping[str, Any], rows: pd.DataFrame, tested: int, results: Results, budget: float, seed: int
) -> dict[str, Any]:
    """Return a bundle's facts with those of its refit laid over, and what they replace under `judged`.

    `rows` have `p_unseen`; the last `tested` of them are the test part, where the two can be compared.
    """
    test = rows.tail(tested)
    test = test[test["p_unseen"].notna()]
    metrics = evaluate(test["severe"], test["p_unseen"], budget, 0, seed)
    known = rows["p_unseen"].dropna()
    return {
        **facts,
        "threshold": alerts_for_budget(known, budget).threshold,
        "learnt_from": learnt_from(rows),
        "judged": {
            "learnt_from": facts["learnt_from"],
            "threshold": facts["threshold"],
            "metrics": _values(results.model),
        },
        "refit": {
            "rows": len(rows),
            "out_of_fold": len(known),
            "tested_out_of_fold": len(test),
            "metrics_out_of_fold": _values(metrics),
        },
    }


def _values(evaluation: Evaluation) -> dict[str, float]:
    return {name: evaluation[name].value for name in ("roc_auc", "pr_auc", "ece")}


def months_before_the_last(rows: pd.DataFrame) -> Doubles:
    """Return the age of each row in months, float64 [n], by its year and month."""
    month = rows["year"].to_numpy(np.int32) * 12 + rows["month"].to_numpy(np.int32)
    age: Doubles = (month.max() - month).astype(np.float64)
    return age


def _sigmoid(scores: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-scores))
