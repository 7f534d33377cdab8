"""What simpler models make of the same accidents."""

from typing import Annotated

import pandas as pd
from zenml import step

from accidents.training.baselines import fit_baselines
from engine import training
from steps.support.cluster_report import on_cluster
from steps.support.rows import Rows, frames, partitions


@step
def score_baselines(
    train_rows: Rows, calibration_rows: Rows, test_rows: Rows, stage: str, seed: int
) -> Annotated[pd.DataFrame, "baseline_predictions"]:
    """P(severe) of each test row by prevalence, logistic regression and random forest: one column each."""
    if not isinstance(train_rows, pd.DataFrame):
        first, second, third = partitions(train_rows, calibration_rows, test_rows)
        with on_cluster(first.dask):
            return training.score_baselines(first, second, third, stage, seed)
    learnt, later, tested = frames(train_rows, calibration_rows, test_rows)
    baselines = fit_baselines(learnt, later, stage, seed)
    return pd.DataFrame({name: predict(tested) for name, predict in baselines.items()})
