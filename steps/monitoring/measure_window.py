"""Performance of the champion on the labelled accidents of a window."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.bundle import HOLDOUT, load_bundle
from accidents.evaluation.metrics import EvaluationSettings
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.performance import ask_callers, measure_performance
from accidents.monitoring.window import Window, unlearnt
from steps.folder import Folder


@step
def measure_window(
    window: Folder, bundle: Folder, policy: MonitorSettings, evaluation: EvaluationSettings, seed: int
) -> Annotated[dict[str, Any], "window_performance"]:
    """Metrics with intervals, and which of them are lost; `notes` alone where they cannot be measured."""
    looked_at, loaded = Window.load(window.path), load_bundle(bundle.path)
    rows = unlearnt(looked_at, loaded)
    notes = []
    if len(rows) < looked_at.facts.labelled:
        learnt = looked_at.facts.labelled - len(rows)
        notes.append(
            f"{learnt:,} labelled accidents that the champion learnt from are left out of performance."
        )
    if looked_at.facts.labelled and (len(rows) < policy.min_labels or rows["severe"].nunique() < 2):
        notes.append(
            f"{len(rows):,} labelled accidents are too few to judge performance (min_labels: "
            f"{policy.min_labels:,}, of both outcomes)."
        )
    if len(rows) < policy.min_labels or rows["severe"].nunique() < 2:
        return {"notes": notes, "performance": None}
    path = bundle / HOLDOUT
    holdout = pd.read_parquet(path) if path.exists() else None
    if holdout is None:
        notes.append("This champion was made before 0.3 and promised nothing: performance is not judged.")
    measured = measure_performance(
        rows, holdout, policy.performance, evaluation.budget, evaluation.n_bootstrap, seed
    )
    if looked_at.facts.from_log:
        measured = ask_callers(rows, measured, policy, evaluation.budget, seed)
    return {"notes": notes, "performance": measured.model_dump(mode="json")}
