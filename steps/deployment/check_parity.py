"""Prove, before anything is deployed, that the bundle predicts what it predicted in training."""

from typing import Annotated

from zenml import step

from accidents.bundle.golden import check_here, make_golden
from steps.folder import Folder
from steps.support.references import VersionReference


@step(enable_cache=False)  # what is proved is the code and libraries of here and now
def check_parity(bundle: Folder, version: VersionReference) -> Annotated[float, "difference"]:
    """Hold a thousand rows, the golden requests, against the probabilities that training wrote down."""
    loaded = version.load(bundle)
    return check_here(loaded, make_golden(loaded))
