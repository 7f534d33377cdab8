"""Recalibrate: the champion's trees, its calibration fitted again on a window's labels; a new version."""

from __future__ import annotations

from zenml import pipeline
from zenml.enums import ExecutionMode

from accidents.params import Params
from pipelines.monitor import window_of
from pipelines.progress import step_started
from pipelines.train import tracker
from steps.deployment.load_version import load_version
from steps.promotion.promote_recalibrated import promote_recalibrated
from steps.promotion.register_recalibrated import register_recalibrated
from steps.support import registry
from steps.training.recalibrate_model import recalibrate_model


@pipeline(name="recalibrate", on_start=step_started, execution_mode=ExecutionMode.FAIL_FAST)
def recalibrate(params: Params, given: str | None, provenance: dict[str, str]) -> None:
    """Make the version and decide about it.

    Parameters
    ----------
    given : as `monitor` takes it.
    provenance : tags for the version and the tracked run.
    """
    champion, version_facts = load_version(params.stage, None)
    window = window_of(params, given, champion)
    bundle, judgement = recalibrate_model(champion, version_facts, window, params)
    registered = register_recalibrated.with_options(experiment_tracker=tracker())(
        bundle, judgement, provenance
    )
    promote_recalibrated(registered, judgement, registry.model_name(params.stage))
