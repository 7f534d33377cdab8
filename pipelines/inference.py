"""Inference: score a raw year, or a file of accidents, with the champion or a version asked for."""

from __future__ import annotations

from typing import Any

from zenml import pipeline
from zenml.enums import ExecutionMode, StackComponentType

from accidents.data.sources.settings import DataSettings
from engine.settings import DaskSettings
from pipelines.progress import step_started
from pipelines.train import has, validator
from steps.scoring.build_input_features import build_input_features
from steps.scoring.check_drift import check_drift
from steps.scoring.load_input import load_input
from steps.scoring.report_predictions import report_predictions
from steps.scoring.score_accidents import score_accidents
from steps.scoring.score_partitions import score_partitions
from steps.support.references import VersionReference, bundle_of


@pipeline(name="inference", on_start=step_started, execution_mode=ExecutionMode.FAIL_FAST)
def inference(
    given: str, input_version: str, data: DataSettings, stage: str, version: VersionReference,
    reasons: str, n_bootstrap: int, raw_csv: bool = False, dask: DaskSettings | None = None, output: str = "",
    replace: bool = False,
) -> None:  # fmt: skip
    """Score every row that can be scored and set the others aside.

    Parameters
    ----------
    given : a year such as "2022" (from the source in `data`), a folder of published files of one year, or a
        CSV or Parquet file with one row an accident.
    input_version : DVC hash of it, as it is now.
    version : of the model.
    reasons : which accidents are explained: all, alerts or none.
    n_bootstrap : draws for the intervals, where the input tells how the accidents ended.
    raw_csv : whether the CSV files are for programs: what spreadsheets take for formulas stays as it is.
    dask : with it, the input is scored by partition into `output`, and no step holds all of it.
    replace : whether other predictions in `output` may go.
    """
    bundle: Any = bundle_of(version)
    if dask is not None:
        score_partitions(given, input_version, data, bundle, version, reasons, output, replace, dask)
        return
    intake = load_input(given, data, input_version)
    features = build_input_features(intake, stage)
    drift = None
    if has(StackComponentType.DATA_VALIDATOR):
        drift = check_drift(features, bundle, stage, validator())
    predictions, _ = score_accidents(features, intake, bundle, version, reasons)
    report_predictions(
        predictions, features, intake, bundle, version, n_bootstrap, raw_csv, drift
    )  # fmt: skip
