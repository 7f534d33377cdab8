"""Which accidents teach, which calibrate and which test."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.training.split import CALIBRATION, TEST, TRAIN, SplitSettings, split
from engine.splitting import split_rows
from steps.support.rows import Rows


@step
def split_data(
    rows: Rows, settings: SplitSettings, seed: int
) -> tuple[
    Annotated[Rows, "train_rows"],
    Annotated[Rows, "calibration_rows"],
    Annotated[Rows, "test_rows"],
    Annotated[dict[str, Any], "split"],
]:
    """Split by time, all rows of an accident together."""
    if not isinstance(rows, pd.DataFrame):
        parts, description = split_rows(rows, settings)
        return parts[TRAIN], parts[CALIBRATION], parts[TEST], description
    result = split(rows, settings, seed)
    train, calibration, test = (
        rows[result.mask(part)].reset_index(drop=True) for part in (TRAIN, CALIBRATION, TEST)
    )
    return train, calibration, test, result.to_dict()
