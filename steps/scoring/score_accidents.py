"""Probability, band, alert and main reasons of each accident."""

import time
from typing import Annotated

import pandas as pd
from zenml import step

from accidents.scoring.batch import Intake
from accidents.scoring.score import Explained, score
from steps.folder import Folder
from steps.support.references import VersionReference


@step
def score_accidents(
    features: pd.DataFrame, intake: Folder, bundle: Folder, version: VersionReference, reasons: str
) -> tuple[Annotated[pd.DataFrame, "predictions"], Annotated[float, "seconds"]]:
    """One row a prediction, in the input's order, and how long it took."""
    explained: Explained = reasons  # type: ignore[assignment]  # checked on the command line
    loaded, rows = version.load(bundle), Intake.load(intake.path).rows
    started = time.monotonic()
    predictions = score(loaded, features, rows, version.name, version.version, explained)
    return predictions, time.monotonic() - started
