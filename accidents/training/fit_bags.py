"""Train the model: bags of LightGBM trees, places learnt by cross-fitting, calibration on later rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from accidents.errors import DataError
from accidents.features import feature_names, features_of
from accidents.lightgbm.booster import Booster
from accidents.progress import track
from accidents.training.calibration import BetaCalibration
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import PlaceEncoder
from accidents.training.trained_model import Floats, Model, matrix_of, tree_columns
from accidents.training.tree_inputs import LabelledRows, Positions, TreeInputs, dataset_of

if TYPE_CHECKING:
    import pandas as pd


def train(
    train: pd.DataFrame, calibration: pd.DataFrame, settings: ModelSettings, stage: str, seed: int
) -> Model:
    """Train on one part and calibrate on another, both as `build_features` gives them.

    Unlabelled rows take no part. Raises DataError if training has no labelled rows, or only one class.
    """
    names = feature_names(stage)
    rows = LabelledRows.of(*labelled(train, names), names)
    require_both_outcomes(len(rows), int(rows.y.sum(dtype=np.float64)))
    bags, every = track(range(settings.bags), "Training bags of trees"), np.arange(len(rows))
    places = PlaceEncoder.fit(rows.place, rows.y)
    model = of_bags([boost(rows, every, settings, stage, seed, bag) for bag in bags], places, stage)
    later, label = labelled(calibration, names)
    model.calibration = BetaCalibration.fit(model.predict_matrix(later), label.astype(np.float64))
    return model


def require_both_outcomes(accidents: int, severe: int) -> None:
    """Raise DataError unless there is something to tell apart."""
    if not 0 < severe < accidents:
        raise DataError(
            "The training years hold no label, or one class only: choose years with a usagers file."
        )


def of_bags(bags: Sequence[Booster], places: PlaceEncoder, stage: str) -> Model:
    """Return the average of bags, with the places of all rows and not yet calibrated."""
    booster = bags[0].merged(bags[1:]) if len(bags) > 1 else bags[0]
    return Model(stage, feature_names(stage), places, booster, BetaCalibration(), len(bags))


def boost(
    rows: LabelledRows,
    chosen: Positions,
    settings: ModelSettings,
    stage: str,
    seed: int,
    bag: int,
    scale: float = 1.0,
    memory: float = math.inf,
) -> Booster:
    """One bag: trees grown on the rows chosen, which stand for `scale` times as many.

    `chosen` are positions among `rows`, rising. One thread takes no more than `memory` bytes, if it can.
    """
    import lightgbm

    seed += bag
    inputs = TreeInputs(rows, chosen, settings.masked, seed, scale)
    params = params_of(settings, stage, seed, settings.draws_thresholds(bag), len(inputs), memory)
    bins = dataset_of(inputs, params)
    del inputs, chosen  # which the bins stand for
    return Booster(lightgbm.train(params, bins, settings.n_estimators).model_to_string())


def params_of(
    settings: ModelSettings, stage: str, seed: int, at_random: bool, rows: int, memory: float
) -> dict[str, Any]:
    """Return LightGBM's parameters of a bag that learns from so many rows in so many bytes."""
    rises = {feature.name: feature.rises for feature in features_of(stage)}
    columns = tree_columns(feature_names(stage))
    by_column = settings.n_jobs == 1 and rows * bytes_by_row(len(columns)) > memory
    return {
        "objective": "binary",
        "learning_rate": settings.learning_rate * (2 if at_random else 1),
        "num_leaves": settings.num_leaves,
        "min_child_samples": settings.min_child_samples,
        "colsample_bytree": settings.colsample_bytree,
        "subsample": settings.subsample,
        "subsample_freq": 1,
        "reg_lambda": settings.reg_lambda,
        "extra_trees": at_random,
        "random_state": seed,
        "deterministic": True,
        "force_row_wise": not by_column,
        "force_col_wise": by_column,
        "num_threads": settings.n_jobs,
        "verbose": -1,
        "monotone_constraints": [rises.get(name, 0) if settings.monotone else 0 for name in columns],
    }


def bytes_by_row(columns: int) -> float:
    """Return what a row takes where one thread goes row by row, as measured on 16 million rows of each stage.

    Column by column it takes less, grows the same trees, and is half as fast.
    """
    return 5.0 * columns


def labelled(frame: pd.DataFrame, names: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Features float32 [n, len(names)] and labels float32 [n] of the rows that have one.

    Raises DataError for features that are not there.
    """
    frame = frame[frame["severe"].notna()]
    return matrix_of(frame, names), frame["severe"].to_numpy(dtype=np.float32)
