"""What is to be scored: a raw year or a file of accidents."""

import os
from typing import Annotated

from zenml import step

from accidents.data.dataset import DVC_REMOTE
from accidents.data.sources.settings import DataSettings
from accidents.scoring.batch import read_input
from steps.folder import Folder


@step
def load_input(given: str, data: DataSettings, version: str) -> Annotated[Folder, "intake"]:
    """Read the input; every row of it is either to be scored or set aside with its reason.

    `version` is the DVC hash of the input that the run was promised; it gets that, or none.
    """
    folder = Folder.temporary("intake-")
    read_input(given, data, version, os.environ.get(DVC_REMOTE)).save(folder.path)
    return folder
