"""Drift of a window, from what the stack's data validator found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.monitoring.measurements import DriftMeasures, FeatureDrift, MonitorReport
from accidents.monitoring.monitor_settings import DriftPolicy
from accidents.training.reference import expected

ENOUGH_OF_A_SEASON = 1_000  # reference accidents of the window's months; with fewer, all months are taken


def of_same_months(reference: pd.DataFrame, window: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Return the reference's accidents of the window's months of the year, and whether they are enough.

    Nights are longer and roads wetter in winter, every winter: that is no drift. All rows if they are few.
    """
    months = window["month"].dropna().unique()
    same = reference[reference["month"].isin(months)]
    if len(same) == len(reference):
        return reference, True
    return (same, True) if len(same) >= ENOUGH_OF_A_SEASON else (reference, False)


class Validator(Protocol):
    """What is asked of a stack's data validator: `DriftResult`, with `to_dict()` and `html`."""

    def data_validation(
        self, dataset: pd.DataFrame, comparison_dataset: pd.DataFrame | None = None, **columns: Any
    ) -> Any:
        """Drift of `dataset` against `comparison_dataset`."""


def measure_drift(
    validator: Validator,
    window: pd.DataFrame,
    reference: pd.DataFrame,
    holdout: pd.DataFrame | None,
    columns: Mapping[str, list[str]],
    policy: DriftPolicy,
    before: Mapping[str, float] | None,
    judge_missing: bool,
    page: bool = True,
    seed: int = 7,
) -> tuple[DriftMeasures, Any]:
    """Drift of a window, and the validator's own result with its page.

    Features are compared with the accidents the champion was trained on; its probabilities with those of
    accidents it had not seen, because on others they are more extreme than they will ever be again.

    Parameters
    ----------
    window, reference, holdout : with `month` and `p_severe`; the holdout is None for bundles without one.
    columns : the features by kind, as the validator takes them.
    before, judge_missing : see `drift_measures`.
    page : whether the validator draws its charts too.
    seed : of the probabilities that are drawn to compare with.
    """
    compared, same_months = of_same_months(reference, window)
    promised = of_same_months(expected(reference, holdout), window)[0]
    compared = compared.assign(p_severe=_as_many(promised["p_severe"], len(compared), seed))
    result = validator.data_validation(
        window, compared, **columns, prediction_columns=["p_severe"], page=page
    )
    measured = drift_measures(
        result.to_dict(), policy, before, judge_missing, same_months, means(promised, window)
    )
    return measured, result


def _as_many(values: pd.Series, count: int, seed: int) -> npt.NDArray[np.float64]:
    """Values, or a sample of them, float64 [count], NaN after the last.

    None is drawn twice: a test would take copies for evidence, and find drift where nothing moved.
    """
    drawn = values.sample(min(count, len(values)), random_state=seed)
    return np.pad(drawn.to_numpy(np.float64), (0, count - len(drawn)), constant_values=np.nan)


def missing_before(earlier: MonitorReport | None) -> Mapping[str, float] | None:
    """Which shares were missing in an earlier window of the log, before it broke; None if there is none yet.

    Callers tell less than the published files do, so a window of the log is compared with an earlier one.
    """
    drift = earlier.measurements.drift if earlier else None
    if earlier is None or drift is None:
        return None
    broken = "missing" in earlier.decision.firing  # then what it was compared with itself
    return {
        column.feature: column.missing_reference if broken else column.missing_window
        for column in drift.features
    }


def drift_measures(
    result: Mapping[str, Any],
    policy: DriftPolicy,
    before: Mapping[str, float] | None,
    judge_missing: bool,
    same_months: bool,
    means: tuple[float, float],
) -> DriftMeasures:
    """Return what a decision needs of a drift result.

    Parameters
    ----------
    result : `DriftResult.to_dict()`: features, and p_severe as the prediction.
    before : missing shares to compare with; None for those of the reference.
    judge_missing : False where there is nothing to compare missing values with.
    means : mean P(severe) of reference and window.
    """
    columns = {column["column"]: column for column in result["columns"]}
    names = [
        name for name, column in columns.items() if column["role"] == "feature" and name not in policy.ignore
    ]
    features = tuple(
        _feature(columns[name], policy, (before or {}).get(name), judge_missing) for name in names
    )
    predictions = [column for column in columns.values() if column["role"] == "prediction"]
    moved = [feature for feature in features if feature.missing_moved]
    return DriftMeasures(
        reference_rows=result["reference_rows"],
        same_months=same_months,
        compared=sum(not feature.status.startswith("not comparable") for feature in features),
        features=features,
        drifted=tuple(feature.feature for feature in features if feature.drifted),
        missing=tuple(feature.feature for feature in moved),
        broken=tuple(feature.feature for feature in moved if feature.missing_window == 1),
        predictions_drifted=any(column["value_drifted"] for column in predictions),
        predictions_statistic=next((column["statistic"] for column in predictions), None),
        mean_reference=means[0],
        mean_window=means[1],
    )


def _feature(
    column: Mapping[str, Any], policy: DriftPolicy, before: float | None, judge_missing: bool
) -> FeatureDrift:
    usual = column["missing_reference"] if before is None else before
    change = abs(column["missing_current"] - usual)
    return FeatureDrift(
        feature=column["column"],
        status=column["status"],
        drifted=column["value_drifted"],
        method=column["method"],
        statistic=column["statistic"],
        threshold=column["threshold"],
        missing_reference=usual,
        missing_window=column["missing_current"],
        missing_moved=bool(judge_missing and change >= policy.missing),
    )


def means(reference: pd.DataFrame, window: pd.DataFrame) -> tuple[float, float]:
    """Mean P(severe) of reference and window."""
    return float(np.mean(reference["p_severe"])), float(np.mean(window["p_severe"]))
