"""The accidents of a year's files as a window."""

from typing import Annotated

import pandas as pd
from zenml import step

from accidents.bundle import load_bundle
from accidents.monitoring.window import file_window
from accidents.scoring.batch import Intake
from steps.folder import Folder


@step
def read_file_window(features: pd.DataFrame, intake: Folder, bundle: Folder) -> Annotated[Folder, "window"]:
    """All accidents of the input that can be scored."""
    taken = Intake.load(intake.path)
    facts = taken.facts
    loaded, aside = load_bundle(bundle.path), len(taken.set_aside)
    folder = Folder.temporary("window-")
    file_window(features, loaded, str(facts["input"]), aside, bool(facts["synthetic"])).save(folder.path)
    return folder
