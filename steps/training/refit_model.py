"""The model to deploy: what passed the gates, fitted again on every labelled row."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.training.model_settings import ModelSettings
from accidents.training.refit import refit
from engine import training
from steps.folder import Folder
from steps.support.cluster_report import on_cluster
from steps.support.rows import Rows, frames, keys_of, partitions

_KEPT = ["accident_id", "severe"]


@step
def refit_model(
    judged: Folder,
    gates: dict[str, Any],
    train_rows: Rows,
    calibration_rows: Rows,
    test_rows: Rows,
    settings: ModelSettings,
    stage: str,
    seed: int,
) -> tuple[Annotated[Folder, "refit"], Annotated[pd.DataFrame, "unseen"]]:
    """Return the refit, and what it gives of each row out of fold; if a gate refuses, `judged` and no row."""
    parts = train_rows, calibration_rows, test_rows
    if not gates["passed"]:
        return judged, keys_of(test_rows)[_KEPT].head(0).assign(p_unseen=0.0)
    if isinstance(train_rows, pd.DataFrame):
        made = refit(pd.concat(frames(*parts)), settings, stage, seed)
    else:
        first, *others = partitions(*parts)
        with on_cluster(first.dask):
            made = training.refit(first.followed_by(*others), settings, stage, seed)
    folder = Folder.temporary("refit-")
    made.model.save(folder.path)
    return folder, keys_of(*parts)[_KEPT].reset_index(drop=True).assign(p_unseen=made.unseen)
