"""Hyper-parameter search on the training rows alone."""

from typing import Annotated

import pandas as pd
from zenml import step

from accidents.training.fit_bags import ModelSettings


@step
def tune_model(
    train_rows: pd.DataFrame, settings: ModelSettings, stage: str, trials: int, seed: int
) -> Annotated[ModelSettings, "tuned_settings"]:
    """Find the best settings in `trials` trials around `settings`."""
    from accidents.training.tuning import tune  # Optuna, which few runs need

    return tune(train_rows, settings, stage, trials, seed)
