"""Recalibrate: the champion's trees, its calibration fitted again on a window's labels; a new version."""

from __future__ import annotations

from typing import Any

from zenml import pipeline
from zenml.enums import ExecutionMode

from accidents.params import Params
from pipelines.monitor import window_of
from pipelines.progress import step_started
from pipelines.train import tracker
from steps.promotion.promote_recalibrated import promote_recalibrated
from steps.promotion.register_recalibrated import register_recalibrated
from steps.support.references import VersionReference, bundle_of
from steps.training.recalibrate_model import recalibrate_model


@pipeline(name="recalibrate", on_start=step_started, execution_mode=ExecutionMode.FAIL_FAST)
def recalibrate(
    params: Params,
    champion: VersionReference,
    given: str | None,
    input_version: str | None,
    provenance: dict[str, str],
    between: list[str] | None = None,
) -> None:
    """Make the version and decide about it.

    Parameters
    ----------
    given, input_version : as `monitor` takes them.
    between : first and last moment of the window of the log that was decided on.
    provenance : tags for the version and the tracked run.
    """
    before: Any = bundle_of(champion)
    window = window_of(params, given, input_version, before, between)
    bundle, judgement = recalibrate_model(before, champion, window, params)
    registered = register_recalibrated.with_options(experiment_tracker=tracker())(
        bundle, judgement, provenance
    )
    promote_recalibrated(registered, judgement, champion.name)
