"""Monitor: a window of predictions, or a year's files, against what the champion promised; a decision."""

from __future__ import annotations

from typing import Any

from zenml import pipeline
from zenml.enums import ExecutionMode, StackComponentType

from accidents.params import Params
from pipelines.progress import step_started
from pipelines.train import has, tracker
from steps.monitoring.check_window import check_window
from steps.monitoring.compare_labels import compare_labels
from steps.monitoring.compare_trials import compare_trials
from steps.monitoring.decide_action import decide_action
from steps.monitoring.measure_window import measure_window
from steps.monitoring.read_file_window import read_file_window
from steps.monitoring.read_log_window import read_log_window
from steps.monitoring.report_window import report_window
from steps.scoring.build_input_features import build_input_features
from steps.scoring.load_input import load_input
from steps.support.references import VersionReference, bundle_of


@pipeline(name="monitor", on_start=step_started, execution_mode=ExecutionMode.FAIL_FAST)
def monitor(
    params: Params, champion: VersionReference, given: str | None, input_version: str | None, loop_id: str
) -> None:
    """Measure and decide; nothing is changed but the history.

    Parameters
    ----------
    given : a year such as "2023" (from the source in `params.data`), or a file of accidents; None for the
        prediction log.
    input_version : DVC hash of it, as it is now.
    loop_id : the loop this run belongs to.
    """
    policy, stage = params.monitor, params.stage
    bundle: Any = bundle_of(champion)
    window = window_of(params, given, input_version, bundle)
    reports = drift = None
    if has(StackComponentType.DATA_VALIDATOR):
        reports, drift = check_window(window, bundle, stage, policy, params.seed)
    performance = measure_window(window, bundle, policy, params.evaluation, params.seed)
    labels = None if given is None else compare_labels(window)
    report = decide_action(window, bundle, champion, performance, policy, loop_id, drift, labels)
    trials = compare_trials(bundle, champion, policy, params.seed) if given is None else None
    report_window.with_options(experiment_tracker=tracker())(report, reports, trials)


def window_of(
    params: Params, given: str | None, version: str | None, bundle: Any, between: list[str] | None = None
) -> Any:
    """Return the accidents that are looked at: of the prediction log, or of what was given.

    `between`: of the log, a window that was looked at before.
    """
    if given is None or version is None:
        return read_log_window(bundle, params.monitor, params.seed, between)
    intake = load_input(given, params.data, version)
    return read_file_window(build_input_features(intake, params.stage), intake, bundle)
