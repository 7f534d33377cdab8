"""Building features: a whole year at once (`build_features`) or one accident (`build_one`)."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from accidents.features.computations import Accident
from accidents.features.features_by_stage import features_of
from accidents.features.label import severe
from accidents.features.year_view import YearView

if TYPE_CHECKING:
    import pandas as pd

    from accidents.data.tables import Tables


def build_features(tables: Tables, stage: str) -> pd.DataFrame:
    """One row per accident, in the order of `tables.accidents`.

    Columns: accident_id (int64), year (int16), month (int8), severe (float32: 1, 0, or NaN where the
    accident has no user with a known severity), then the features of `stage`, all float32 with NaN.

    Raises SettingsError for an unknown stage.
    """
    import pandas as pd  # serving imports this module without pandas

    features = features_of(stage)
    year = YearView(tables)
    matrix = np.empty((len(features), len(year)), dtype=np.float32)
    for row, feature in zip(matrix, features, strict=True):
        row[:] = feature.compute.of_year(year)
    keys = {
        "accident_id": year.accident_ids,
        "year": year.column("accidents", "year").astype(np.int16),
        "month": year.column("accidents", "month").astype(np.int8),
        "severe": severe(year),
    }
    built = pd.DataFrame(matrix.T, columns=[feature.name for feature in features], copy=False)
    return pd.concat([pd.DataFrame(keys), built], axis=1)


def build_one(accident: Accident, stage: str = "dispatch") -> dict[str, float]:
    """Return the features of one accident given as a plain mapping, in the order of `feature_names(stage)`.

    Keys are the English column names of the tables `accidents` and `places`; "vehicles" and "users" are
    lists of mappings. Absent keys and None mean not known. Values are float32-exact, NaN when not known.
    Needs neither pandas nor numpy arrays.
    """
    features = features_of(stage)
    values = array("f", [feature.compute.of_one(accident) for feature in features])
    return dict(zip((feature.name for feature in features), values, strict=True))
