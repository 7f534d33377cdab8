"""A folder of plain files as a ZenML artifact; its pictures and pages show in the dashboard.

This module keeps its name: every store holds it, as what its artifacts are read with.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer
from zenml.utils import io_utils

FILES = "files"  # where they are, in the artifact's own folder
SHOWN = {
    ".png": VisualizationType.IMAGE,
    ".html": VisualizationType.HTML,
    ".md": VisualizationType.MARKDOWN,
}


class Folder:
    """A folder on this machine, handed from step to step: ZenML keeps a copy.

    Parameters
    ----------
    path : an existing folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def temporary(cls, prefix: str) -> Folder:
        """Make an empty one that goes with this object: a step's, once ZenML has its copy."""
        folder = cls(Path(tempfile.mkdtemp(prefix=prefix)))
        weakref.finalize(folder, shutil.rmtree, folder.path, ignore_errors=True)
        return folder

    def __truediv__(self, name: str) -> Path:
        return self.path / name


class FolderMaterializer(BaseMaterializer):
    """Copies a `Folder` to the artifact store and back, wherever that is."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Folder,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA

    def save(self, data: Folder) -> None:
        """Copy the folder into the artifact store."""
        io_utils.copy_dir(os.fspath(data.path), os.path.join(self.uri, FILES), overwrite=True)

    def load(self, data_type: type[Any]) -> Folder:
        """Copy the folder out of the artifact store."""
        # Deleted by ZenML after the step; outside a step (run.py) the caller copies what it keeps.
        with self.get_temporary_directory(delete_at_exit=False) as folder:
            io_utils.copy_dir(os.path.join(self.uri, FILES), folder, overwrite=True)
            return Folder(Path(folder))

    def save_visualizations(self, data: Folder) -> dict[str, VisualizationType]:
        """Point the dashboard at every picture and page at the top of the folder."""
        return {
            os.path.join(self.uri, FILES, path.name): SHOWN[path.suffix]
            for path in sorted(data.path.iterdir())
            if path.suffix in SHOWN
        }
