"""Which accidents teach, which calibrate and which test."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.training.split import CALIBRATION, TEST, TRAIN, SplitSettings, split


@step
def split_data(
    rows: pd.DataFrame, settings: SplitSettings
) -> tuple[
    Annotated[pd.DataFrame, "train_rows"],
    Annotated[pd.DataFrame, "calibration_rows"],
    Annotated[pd.DataFrame, "test_rows"],
    Annotated[dict[str, Any], "split"],
]:
    """Split by time, all rows of an accident together."""
    result = split(rows, settings)
    train, calibration, test = (
        rows[result.mask(part)].reset_index(drop=True) for part in (TRAIN, CALIBRATION, TEST)
    )
    return train, calibration, test, result.to_dict()
