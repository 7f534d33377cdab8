"""The gates, held against the model that was judged."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.evaluation.results import Results
from accidents.promotion.gates import GateRules, check_gates, compare_with_baselines


@step
def check_candidate(
    test_predictions: pd.DataFrame, results: dict[str, Any], rules: GateRules
) -> Annotated[dict[str, Any], "gates"]:
    """Return a GateReport as JSON."""
    judged = Results.from_dict(results)
    baselines = compare_with_baselines(rules, test_predictions)
    return check_gates(rules.gates, judged.model, judged.slices, judged.behaviour, baselines).to_dict()
