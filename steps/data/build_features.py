"""Tables to one row of features per accident."""

from typing import Annotated

import pandas as pd
from zenml import step

from accidents import features
from accidents.data.table_files import load_tables
from steps.folder import Folder


@step
def build_features(tables: Folder, stage: str) -> Annotated[pd.DataFrame, "accident_rows"]:
    """Compute the features that are known at `stage`."""
    loaded, _ = load_tables(tables.path)
    return features.build_features(loaded, stage)
