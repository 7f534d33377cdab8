"""The model to deploy: what passed the gates, fitted again on every labelled row."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.training.fit_bags import ModelSettings
from accidents.training.refit import refit
from steps.folder import Folder


@step
def refit_model(
    judged: Folder,
    gates: dict[str, Any],
    train_rows: pd.DataFrame,
    calibration_rows: pd.DataFrame,
    test_rows: pd.DataFrame,
    settings: ModelSettings,
    stage: str,
    seed: int,
) -> tuple[Annotated[Folder, "refit"], Annotated[pd.DataFrame, "unseen"]]:
    """Return the refit, and what it gives of each row out of fold; if a gate refuses, `judged` and no row."""
    rows = pd.concat([train_rows, calibration_rows, test_rows])
    kept = rows[["accident_id", "severe"]]
    if not gates["passed"]:
        return judged, kept.head(0).assign(p_unseen=0.0)
    made = refit(rows, settings, stage, seed)
    folder = Folder.temporary("refit-")
    made.model.save(folder.path)
    return folder, kept.assign(p_unseen=made.unseen)
