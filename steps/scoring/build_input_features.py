"""The accidents of an input to one row of features each."""

from typing import Annotated

import pandas as pd
from zenml import step

from accidents.scoring.batch import Intake
from accidents.scoring.score import input_features
from steps.folder import Folder


@step
def build_input_features(intake: Folder, stage: str) -> Annotated[pd.DataFrame, "input_features"]:
    """Compute the features that are known at `stage`."""
    return input_features(Intake.load(intake.path), stage)
