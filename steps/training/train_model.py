"""The candidate: LightGBM on encoded features, calibrated on later rows."""

from typing import Annotated

import pandas as pd
from zenml import step

from accidents.training import fit_bags
from accidents.training.model_settings import ModelSettings
from engine import training
from steps.folder import Folder
from steps.support.cluster_report import on_cluster
from steps.support.rows import Rows, frames, partitions


@step
def train_model(
    train_rows: Rows, calibration_rows: Rows, settings: ModelSettings, stage: str, seed: int
) -> Annotated[Folder, "model"]:
    """Fit on the training rows, calibrate on the calibration rows."""
    if isinstance(train_rows, pd.DataFrame):
        learnt, later = frames(train_rows, calibration_rows)
        trained = fit_bags.train(learnt, later, settings, stage, seed)
    else:
        first, second = partitions(train_rows, calibration_rows)
        with on_cluster(first.dask):
            trained = training.train(first, second, settings, stage, seed)
    folder = Folder.temporary("model-")
    trained.save(folder.path)
    return folder
