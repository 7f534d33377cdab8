"""The candidate: LightGBM on encoded features, calibrated on later rows."""

from typing import Annotated

import pandas as pd
from zenml import step

from accidents.training import fit_bags
from accidents.training.fit_bags import ModelSettings
from steps.folder import Folder


@step
def train_model(
    train_rows: pd.DataFrame, calibration_rows: pd.DataFrame, settings: ModelSettings, stage: str, seed: int
) -> Annotated[Folder, "model"]:
    """Fit on the training rows, calibrate on the calibration rows."""
    trained = fit_bags.train(train_rows, calibration_rows, settings, stage, seed)
    folder = Folder.temporary("model-")
    trained.save(folder.path)
    return folder
