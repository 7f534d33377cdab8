"""The refit, and the champion on the same accidents: promote or not, and why."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.bundle import load_bundle
from accidents.comparison import judge
from accidents.gates import GateReport
from accidents.refit import check_refit
from accidents.settings import Params
from steps import registry
from steps.folder import Folder


@step
def judge_candidate(
    bundle: Folder,
    test_rows: pd.DataFrame,
    test_predictions: pd.DataFrame,
    gates: dict[str, Any],
    params: Params,
    champion: str | None,
    unseen: pd.DataFrame | None = None,
) -> Annotated[dict[str, Any], "decision"]:
    """Hold the candidate against champion version `champion`, if there is one, and its refit against itself.

    `unseen` is what the refit gives of all rows out of fold, those of the test last.

    Who is champion is a parameter so that a cached run judges again when it has changed.
    """
    held = GateReport.from_dict(gates)
    if unseen is not None and len(unseen):
        held = held.and_also(check_refit(test_predictions, unseen.tail(len(test_rows)), params))
    reigning = None
    if champion is not None:
        version = registry.version(registry.model_name(params.stage), champion)
        reigning = load_bundle(registry.bundle_of(version).path)
    predicted = test_predictions["model"].to_numpy()
    return judge(
        held, load_bundle(bundle.path), reigning, champion or "", test_rows, predicted, params
    ).to_dict()
