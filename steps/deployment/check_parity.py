"""Prove, before anything is deployed, that the bundle predicts what it predicted in training."""

from typing import Annotated

from zenml import step

from accidents.bundle import load_bundle
from accidents.bundle.golden import check_here, golden_of
from steps.folder import Folder


@step
def check_parity(bundle: Folder) -> Annotated[float, "difference"]:
    """A thousand rows against the probabilities that training wrote down; they are the golden requests."""
    loaded = load_bundle(bundle.path)
    return check_here(loaded, golden_of(loaded))
