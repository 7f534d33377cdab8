"""The gates, held against the model that was judged."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.comparison import compare_with_baselines
from accidents.gates import check_gates
from accidents.results import Results
from accidents.settings import Params


@step
def check_candidate(
    test_predictions: pd.DataFrame, results: dict[str, Any], params: Params
) -> Annotated[dict[str, Any], "gates"]:
    """A GateReport as JSON."""
    judged = Results.from_dict(results)
    baselines = compare_with_baselines(params, test_predictions)
    return check_gates(params.gates, judged.model, judged.slices, judged.behaviour, baselines).to_dict()
