"""What simpler models make of the same accidents."""

from typing import Annotated

import pandas as pd
from zenml import step

from accidents.training.baselines import fit_baselines


@step
def score_baselines(
    train_rows: pd.DataFrame, calibration_rows: pd.DataFrame, test_rows: pd.DataFrame, stage: str, seed: int
) -> Annotated[pd.DataFrame, "baseline_predictions"]:
    """P(severe) of each test row by prevalence, logistic regression and random forest: one column each."""
    baselines = fit_baselines(train_rows, calibration_rows, stage, seed)
    return pd.DataFrame({name: predict(test_rows) for name, predict in baselines.items()})
