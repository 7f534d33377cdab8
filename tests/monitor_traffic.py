"""Accidents of a sample year as predictions in a log, with the champion's answers; no server needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd

from accidents.bundle import Bundle
from accidents.data.reading import read_years
from accidents.data.sources.sample import write_sample
from accidents.features import build_features
from accidents.predictions.prediction_log import Label, Prediction, PredictionLog
from accidents.vocabulary.bands import band_of

ROOMS = ("lyon", "lille")  # two control rooms: nothing follows from what one alone predicts and labels


def sample_features(folder: Path, year: int, accidents: int, drift: str = "none") -> pd.DataFrame:
    """`build_features` of a sample year made in `folder`."""
    tables, _ = read_years(write_sample(folder, [year], accidents, seed=7, drift=drift))
    return build_features(tables.validate(), "dispatch")


def log_predictions(
    folder: Path, bundle: Bundle, log: PredictionLog, count: int, year: int, drift: str = "none",
    labels: bool = False, by_chance: bool = False, callers: Sequence[str | None] = ROOMS,
) -> pd.DataFrame:  # fmt: skip
    """Write `count` predictions of a bundle, a second apart and the last one now; return their rows.

    The year is made in `folder`. With labels `by_chance`, nothing predicted has to do with what came.
    `callers` ask and label in turns; None has no key.
    """
    rows = sample_features(folder / f"{year}-{drift}", year, max(count, 4_000), drift)
    rows = rows.sample(count, random_state=1).reset_index(drop=True)
    if by_chance:
        rows["severe"] = np.random.default_rng(1).permutation(rows["severe"])
    p = bundle.predict(rows[bundle.features].to_numpy(np.float32))
    log.create()
    names = [callers[place % len(callers)] for place in range(count)]
    log.write(
        [
            _prediction(place, row, p[place], bundle, count, drift, names[place])
            for place, row in rows.iterrows()
        ]
    )
    if labels:
        log.add_labels(
            [
                Label(bool(row["severe"]), accident_id=_id(place, year, drift), key_name=names[place])
                for place, row in rows.iterrows()
            ]
        )
    return rows


def _id(place: int, year: int, drift: str) -> str:
    return f"{year}-{place:06}" if drift == "none" else f"{year}-{drift}-{place:06}"


def _prediction(
    place: int, row: pd.Series, p: float, bundle: Bundle, count: int, drift: str, caller: str | None
) -> Prediction:
    features = {name: None if np.isnan(row[name]) else float(row[name]) for name in bundle.features}
    return Prediction(
        request_id=f"{place:08x}{crc32(drift.encode()):08x}{int(row['accident_id']) % 16**16:016x}",
        accident_id=_id(place, int(row["year"]), drift),
        created=datetime.now(UTC) - timedelta(seconds=count - place),
        stage="dispatch",
        model_name="accident-severity-dispatch",
        model_version="1",
        model_digest=bundle.digest,
        probability=float(p),
        band=band_of(float(p), bundle.bands),
        alert=bool(p >= bundle.threshold),
        accident=json.loads(json.dumps({"year": int(row["year"]), "month": int(row["month"])})),
        features=features,
        key_name=caller,
    )
