"""What is to be scored: a raw year or a file of accidents."""

import tempfile
from pathlib import Path
from typing import Annotated

from zenml import step

from accidents.data.sources.settings import DataSettings
from accidents.scoring.batch import read_input
from steps.folder import Folder


@step
def load_input(given: str, data: DataSettings) -> Annotated[Folder, "intake"]:
    """Read the input; every row of it is either to be scored or set aside with its reason."""
    folder = Path(tempfile.mkdtemp(prefix="intake-"))
    read_input(given, data).save(folder)
    return Folder(folder)
