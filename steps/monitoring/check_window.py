"""Data quality and drift of a window, by the stack's data validator."""

import json
from typing import Annotated, Any

import pandas as pd
from zenml import step
from zenml.client import Client

from accidents.bundle import HOLDOUT
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.window import Window
from accidents.monitoring.window_drift import measure_drift, missing_before
from steps.data.validate_data import kinds_of_columns
from steps.folder import Folder
from steps.support.prediction_store import opened_store


@step(enable_cache=False)  # the history of looks grows
def check_window(
    window: Folder, bundle: Folder, stage: str, policy: MonitorSettings, seed: int
) -> tuple[Annotated[Folder, "window_reports"], Annotated[dict[str, Any], "window_drift"]]:
    """data_quality.html, drift.html and drift.json, and what a decision needs of them; empty for no rows."""
    looked_at, folder = Window.load(window.path), Folder.temporary("window-reports-")
    if looked_at.frame.empty:
        return folder, {}
    # The pipeline has this step only where the stack has a validator; which one, the step need not know.
    validator: Any = Client().active_stack.data_validator
    before, facts = None, looked_at.facts
    if facts.from_log and facts.since is not None:
        with opened_store() as store:
            # Not one that shares accidents with this: a field would be lost little by little.
            before = missing_before(store.history.report_before(stage, facts.source, facts.since))
    columns = kinds_of_columns(stage)
    drift, result = measure_drift(
        validator,
        looked_at.drawn,
        pd.read_parquet(bundle / "reference.parquet"),
        _holdout(bundle),
        columns,
        policy.drift,
        before,
        judge_missing=before is not None or not facts.from_log,
        seed=seed,
    )
    quality = validator.data_profiling(looked_at.drawn, **columns, prediction_columns=["p_severe"])
    (folder / "data_quality.html").write_text(quality.html, encoding="utf-8")
    (folder / "drift.html").write_text(result.html, encoding="utf-8")
    (folder / "drift.json").write_text(json.dumps(result.to_dict(), indent=1), encoding="utf-8")
    return folder, drift.model_dump(mode="json")


def _holdout(bundle: Folder) -> pd.DataFrame | None:
    path = bundle / HOLDOUT
    return pd.read_parquet(path) if path.exists() else None
