"""Baselines that always run beside the model: prevalence, logistic regression, the usual random forest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accidents.features import feature_names, features_of
from accidents.training.calibration import BetaCalibration
from accidents.training.drawn_rows import MOST_LEARNT, labelled_at_most

if TYPE_CHECKING:
    import pandas as pd

Predict = Callable[["pd.DataFrame"], npt.NDArray[np.float64]]
# Thousands of communes would each be a column of their own: a usual project leaves them out.
BASELINES = ("prevalence", "logistic_regression", "random_forest")
_TOO_MANY_CODES = ("commune",)


def fit_baselines(
    train: pd.DataFrame, calibration: pd.DataFrame, stage: str, seed: int
) -> dict[str, Predict]:
    """Fit all baselines on `build_features` frames; each predicts P(severe), float64 [n], for such a frame.

    The two learnt ones are calibrated like the model, so that the comparison is of knowledge, not of scale.
    Of more than `MOST_LEARNT` rows with a label, in either frame, so many are drawn.
    """
    learnt, later = (labelled_at_most(rows, MOST_LEARNT, seed) for rows in (train, calibration))
    return {name: fit_baseline(name, learnt, later, stage, seed) for name in BASELINES}


def fit_baseline(name: str, train: pd.DataFrame, calibration: pd.DataFrame, stage: str, seed: int) -> Predict:
    """Fit one of `BASELINES` on rows that all have a label, as `fit_baselines` does."""
    if name == "prevalence":
        prevalence = float(train["severe"].mean())
        return lambda frame: np.full(len(frame), prevalence)
    pipeline = _logistic(stage) if name == "logistic_regression" else _forest(stage, seed)
    pipeline.fit(train[_usable(stage)], train["severe"].astype(int))
    return _calibrated(pipeline, _usable(stage), calibration)


def _usable(stage: str) -> list[str]:
    return [name for name in feature_names(stage) if name not in _TOO_MANY_CODES]


def _calibrated(pipeline: Any, names: list[str], calibration: pd.DataFrame) -> Predict:
    def raw(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        return np.asarray(pipeline.predict_proba(frame[names])[:, 1], dtype=np.float64)

    fitted = BetaCalibration()
    if len(calibration):
        fitted = BetaCalibration.fit(raw(calibration), calibration["severe"].to_numpy(dtype=np.float64))
    return lambda frame: fitted.apply(raw(frame))


def _logistic(stage: str) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    usable = [f for f in features_of(stage) if f.name not in _TOO_MANY_CODES]
    categories = [f.name for f in usable if f.kind == "category"]
    numbers = [f.name for f in usable if f.kind != "category"]
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(impute, StandardScaler()), numbers),
            ("categories", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20), categories),
        ]
    )
    return make_pipeline(columns, LogisticRegression(C=0.5, max_iter=500))


def _forest(stage: str, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    impute = SimpleImputer(strategy="constant", fill_value=-1, keep_empty_features=True)
    # One thread: the sum over trees depends on their order in the last bits otherwise.
    forest = RandomForestClassifier(n_estimators=100, min_samples_leaf=5, n_jobs=1, random_state=seed)
    return make_pipeline(impute, forest)
