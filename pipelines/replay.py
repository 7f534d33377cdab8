"""Replay: the monitor's decisions over past years, as if these were only now arriving."""

from __future__ import annotations

from zenml import pipeline
from zenml.enums import ExecutionMode

from accidents.params import Params
from pipelines.caching import cached
from pipelines.progress import step_started
from steps.data.build_features import build_features
from steps.data.load_data import load_data
from steps.monitoring.replay_months import replay_months


@pipeline(name="replay", on_start=step_started, execution_mode=ExecutionMode.FAIL_FAST)
def replay(params: Params, raw_version: str) -> None:
    """Nothing is registered, promoted or written into the history; `raw_version` as in `train`."""
    tables, data_facts = cached(load_data)(params.data, raw_version)
    rows = cached(build_features)(tables, params.stage)
    replay_months(rows, data_facts, params)
