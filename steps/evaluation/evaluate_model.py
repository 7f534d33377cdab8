"""The candidate and the baselines on the later part: figures with intervals, slices, behaviour."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.evaluation.behaviour import behaviour_checks
from accidents.evaluation.metrics import EvaluationSettings, alerts_for_budget, evaluate
from accidents.evaluation.results import Results
from accidents.evaluation.slices import evaluate_slices
from accidents.training.trained_model import Model
from engine import evaluation
from steps.folder import Folder
from steps.support.cluster_report import on_cluster
from steps.support.rows import Rows, frames, partitions


@step
def evaluate_model(
    model: Folder,
    calibration_rows: Rows,
    test_rows: Rows,
    baseline_predictions: pd.DataFrame,
    settings: EvaluationSettings,
    seed: int,
) -> tuple[Annotated[pd.DataFrame, "test_predictions"], Annotated[dict[str, Any], "results"]]:
    """Judge on the test rows; the alert threshold is chosen on the calibration rows."""
    trained = Model.load(model.path)
    if not isinstance(test_rows, pd.DataFrame):
        later, tested = partitions(calibration_rows, test_rows)
        with on_cluster(later.dask):
            scores, judged = evaluation.judge(trained, later, tested, baseline_predictions, settings, seed)
        return scores, judged.to_dict()
    (calibration,) = frames(calibration_rows)
    budget, draws = settings.budget, settings.n_bootstrap
    alerts = alerts_for_budget(trained.predict_proba(calibration), budget)
    severe, predicted = test_rows["severe"], trained.predict_proba(test_rows)
    results = Results(
        alerts=alerts,
        model=evaluate(severe, predicted, budget, draws, seed),
        baselines={
            name: evaluate(severe, baseline_predictions[name], budget, draws, seed)
            for name in map(str, baseline_predictions.columns)
        },
        at_threshold=evaluate(severe, predicted, budget, draws, seed, alerts),
        slices=evaluate_slices(test_rows, severe, predicted, budget, draws, seed),
        behaviour=behaviour_checks(trained.predict_proba, test_rows, alerts.threshold, seed),
    )
    predictions = test_rows[["accident_id", "severe"]].assign(model=predicted)
    return pd.concat([predictions, baseline_predictions], axis=1), results.to_dict()
