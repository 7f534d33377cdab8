"""Steps that leave things in the stores, for the tests of what is kept.

Import it when the store is there: ZenML asks for its environment as soon as a step is declared.
"""

import os
from pathlib import Path
from typing import Annotated

from zenml import step

from steps.folder import Folder, FolderMaterializer


@step(enable_cache=False, output_materializers=FolderMaterializer)
def leave(folder: str, size: int) -> Annotated[Folder, "left"]:
    """An artifact of so many bytes."""
    print("a line for the log")
    made = Path(folder)
    made.mkdir(exist_ok=True)
    (made / "file.bin").write_bytes(os.urandom(size))
    return Folder(made)


@step(enable_cache=False, output_materializers=FolderMaterializer)
def measure(left: Folder) -> Annotated[Folder, "measured"]:
    """What was left, fetched, and a temporary folder of the step's own, as steps of the monitor have them."""
    made = Folder.temporary("measured-")
    (made / "size").write_text(str((left / "file.bin").stat().st_size))
    return made


@step(enable_cache=False)
def fail() -> None:
    """A run that goes wrong leaves things, too."""
    raise ValueError("as it must")
