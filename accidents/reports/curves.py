"""The curves as CSV, for `dvc plots show` and `dvc plots diff`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from accidents.evaluation.metrics import calibration_curve, lift_curve

POINTS = 200  # a curve has as many points as accidents: thinned, a picture shows no difference


def write_curves(folder: Path, severe: pd.Series, predicted: pd.Series) -> None:
    """Write roc.csv, precision_recall.csv, calibration.csv and lift.csv.

    Parameters
    ----------
    folder : made if it is not there.
    severe, predicted : label (0 or 1) and P(severe) of each test accident.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    folder.mkdir(parents=True, exist_ok=True)
    false_positive_rate, true_positive_rate, _ = roc_curve(severe, predicted)
    precision, recall, _ = precision_recall_curve(severe, predicted)
    curves = {
        "roc": {"false_positive_rate": false_positive_rate, "true_positive_rate": true_positive_rate},
        "precision_recall": {"recall": recall[::-1], "precision": precision[::-1]},
        "calibration": calibration_curve(severe, predicted),
        "lift": lift_curve(severe, predicted),
    }
    for name, curve in curves.items():
        _thinned(pd.DataFrame(curve)).round(6).to_csv(folder / f"{name}.csv", index=False)


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    kept = np.unique(np.linspace(0, len(curve) - 1, min(POINTS, len(curve))).astype(int))
    return curve.iloc[kept]
