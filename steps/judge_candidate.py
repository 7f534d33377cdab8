"""Gates, and the champion on the same accidents: promote or not, and why."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.bundle import load_bundle
from accidents.comparison import compare_with_baselines, judge
from accidents.gates import check_gates
from accidents.results import Results
from accidents.settings import Params
from steps import registry
from steps.folder import Folder


@step
def judge_candidate(
    bundle: Folder,
    test_rows: pd.DataFrame,
    test_predictions: pd.DataFrame,
    results: dict[str, Any],
    params: Params,
    champion: str | None,
) -> Annotated[dict[str, Any], "decision"]:
    """Hold the candidate against the gates and against champion version `champion`, if there is one.

    Who is champion is a parameter so that a cached run judges again when it has changed.
    """
    judged = Results.from_dict(results)
    baselines = compare_with_baselines(params, test_predictions)
    gates = check_gates(params.gates, judged.model, judged.slices, judged.behaviour, baselines)
    reigning = None
    if champion is not None:
        version = registry.version(registry.model_name(params.stage), champion)
        reigning = load_bundle(registry.bundle_of(version).path)
    predicted = test_predictions["model"].to_numpy()
    return judge(
        gates, load_bundle(bundle.path), reigning, champion or "", test_rows, predicted, params
    ).to_dict()
