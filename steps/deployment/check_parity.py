"""Prove, before anything is deployed, that the bundle predicts what it predicted in training."""

import tempfile
from pathlib import Path
from typing import Annotated

from zenml import step

from accidents.bundle.golden import check_here, golden_of
from steps.folder import Folder
from steps.support.references import VersionReference


@step
def check_parity(
    bundle: Folder, version: VersionReference
) -> tuple[Annotated[Folder, "golden"], Annotated[float, "difference"]]:
    """A thousand rows against the probabilities that training wrote down; they become the golden requests."""
    loaded = version.load(bundle)
    golden = golden_of(loaded)
    difference = check_here(loaded, golden)
    folder = Path(tempfile.mkdtemp(prefix="golden-"))
    golden.write(folder / "golden.json")
    return Folder(folder), difference
