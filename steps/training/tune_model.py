"""Hyper-parameter search on the training rows alone."""

from typing import Annotated

import pandas as pd
from zenml import step

from accidents.training.model_settings import ModelSettings
from engine import training
from steps.support.cluster_report import on_cluster
from steps.support.rows import Rows, partitions


@step
def tune_model(
    train_rows: Rows, settings: ModelSettings, stage: str, trials: int, seed: int
) -> Annotated[ModelSettings, "tuned_settings"]:
    """Find the best settings in `trials` trials around `settings`."""
    if not isinstance(train_rows, pd.DataFrame):
        (rows,) = partitions(train_rows)
        with on_cluster(rows.dask):
            return training.tune(rows, settings, stage, trials, seed)
    from accidents.training.tuning import tune  # Optuna, which few runs need

    return tune(train_rows, settings, stage, trials, seed)
