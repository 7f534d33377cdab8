"""Scoring many accidents with a bundle: probability, band, alert and the main reasons of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.bundle import Bundle
from accidents.features import build_features
from accidents.progress import track
from accidents.scoring.batch.intake import ID, NOTES, PEDESTRIAN, ROW, Intake, repeated
from accidents.scoring.reasons import top_reasons
from accidents.training.trained_model import Model

Explained = Literal["all", "alerts", "none"]

REASONS = 3  # told of each accident
_MANY = 20_000  # rows from which laying out the trees anew pays
_BLOCK = 60_000  # accidents explained at once: the more, the fewer of them are new to a tree; 50 MB


def input_features(intake: Intake, stage: str) -> pd.DataFrame:
    """`build_features` of the accidents; a pedestrian is hit if the cell or the lists say so."""
    built = build_features(intake.tables, stage)
    given = intake.rows[PEDESTRIAN].to_numpy(dtype=np.float32)
    computed = built["pedestrian"].to_numpy()
    return built.assign(pedestrian=np.fmax(given, computed))


def probabilities(model: Model, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """`Model.predict_matrix`, many times as fast for many rows, and equal to the last bit."""
    return model.predict_many(matrix) if len(matrix) >= _MANY else model.predict_matrix(matrix)


def score(
    bundle: Bundle, features: pd.DataFrame, rows: pd.DataFrame, name: str, version: str, explained: Explained
) -> pd.DataFrame:
    """One prediction a row, in order.

    Parameters
    ----------
    features, rows : of the same accidents: `input_features` and `Intake.rows`.
    name, version : of the registered model.
    explained : which accidents get reasons; the others have an empty text.

    Returns
    -------
    row, accident_id, probability, band, alert, model_name, model_version, reasons, notes, and the columns of
    the input that are kept.
    """
    matrix = features[bundle.features].to_numpy(dtype=np.float32)
    p = probabilities(bundle.model, matrix)
    alert = p >= bundle.threshold
    wanted = {"all": np.ones_like(alert), "alerts": alert, "none": np.zeros_like(alert)}[explained]
    kept = rows.drop(columns=[ROW, ID, NOTES, PEDESTRIAN])
    ours = pd.DataFrame(
        {
            ROW: rows[ROW],
            ID: rows[ID],
            "probability": p,
            "band": _bands(p, bundle.bands),
            "alert": alert,
            "model_name": repeated(name, len(p)),
            "model_version": repeated(version, len(p)),
            "reasons": _reasons(bundle, matrix, wanted),
            NOTES: rows[NOTES],
        }
    )
    return pd.concat([ours, kept], axis=1)


def _bands(p: npt.NDArray[np.float64], bands: Mapping[str, float]) -> pd.Series[str]:
    """Return `band_of` of each probability; the edges rise, from 0."""
    names = pd.Series(list(bands), dtype="str")
    return names.iloc[np.searchsorted(list(bands.values()), p, side="right") - 1].reset_index(drop=True)


def _reasons(
    bundle: Bundle, matrix: npt.NDArray[np.float32], wanted: npt.NDArray[np.bool_]
) -> pd.Series[str]:
    """Write `a pedestrian is hit (+0.81); ...` for each row wanted, in log-odds; else an empty text."""
    if not wanted.any():
        return repeated("", len(matrix))
    texts = [""] * len(matrix)
    at = np.flatnonzero(wanted)
    blocks = [at[start : start + _BLOCK] for start in range(0, len(at), _BLOCK)]
    for block in track(blocks, "Explaining accidents"):
        for row, text in zip(block.tolist(), _texts(bundle, matrix[block]), strict=True):
            texts[row] = text
    return pd.Series(texts, dtype="str")


def _texts(bundle: Bundle, matrix: npt.NDArray[np.float32]) -> Iterator[str]:
    model = bundle.model
    for values, weights in zip(matrix, model.contributions(matrix), strict=True):
        known = dict(zip(bundle.features, values.tolist(), strict=True))
        reasons = top_reasons(known, model.columns, weights.tolist(), count=REASONS)
        yield "; ".join(f"{reason.text} ({reason.weight:+.2f})" for reason in reasons)
