"""Train: from raw accident files to a registered model, promoted if it deserves it."""

from __future__ import annotations

from typing import Any

from zenml import pipeline
from zenml.client import Client
from zenml.enums import ExecutionMode, StackComponentType

from accidents.params import Params
from engine.settings import DaskSettings
from pipelines.caching import cached
from pipelines.identity import made_from
from pipelines.progress import step_started
from steps.data.build_features import build_features
from steps.data.load_data import load_data
from steps.data.report_quality import report_quality
from steps.data.split_data import split_data
from steps.data.validate_data import validate_data
from steps.evaluation.check_candidate import check_candidate
from steps.evaluation.draw_reports import draw_reports
from steps.evaluation.evaluate_model import evaluate_model
from steps.evaluation.summarise import summarise
from steps.promotion.judge_candidate import judge_candidate
from steps.promotion.promote_model import promote_model
from steps.promotion.register_model import register_model
from steps.support import champion_and_versions, registry_mirror
from steps.training.build_bundle import build_bundle
from steps.training.refit_model import refit_model
from steps.training.score_baselines import score_baselines
from steps.training.train_model import train_model
from steps.training.tune_model import tune_model


# Fail fast, or ZenML replaces a step's own error by one that names the step only.
@pipeline(name="train", on_start=step_started, execution_mode=ExecutionMode.FAIL_FAST)
def train(
    params: Params,
    raw_version: str,
    champion: str | None,
    provenance: dict[str, str],
    dask: DaskSettings | None = None,
    may_return: bool = True,
) -> None:
    """Train one candidate and decide about it.

    Parameters
    ----------
    raw_version : DVC hash of the raw files as they are now.
    champion : version of who is champion now, None if there is none.
    provenance : tags for the version and the tracked run, such as the git commit.
    dask : with it, the data stays in partitions and is worked on there.
    may_return : whether a version that was taken back may become champion again.
    """
    name, origin = champion_and_versions.model_name(params.stage), made_from(params, raw_version, dask)
    tables, data_facts = cached(load_data)(params.data, raw_version, dask)
    cached(report_quality, but=())(tables)
    rows = cached(build_features)(tables, params.stage)
    train_rows, calibration_rows, test_rows, split = cached(split_data)(rows, params.split, params.seed)

    data_reports = None
    if has(StackComponentType.DATA_VALIDATOR):
        data_reports = cached(validate_data)(train_rows, test_rows, params.stage, validator())

    settings: Any = params.model
    if params.tuning.trials:
        settings = cached(tune_model)(
            train_rows, params.model, params.stage, params.tuning.trials, params.seed
        )
    model = cached(train_model)(train_rows, calibration_rows, settings, params.stage, params.seed)
    baselines = cached(score_baselines)(train_rows, calibration_rows, test_rows, params.stage, params.seed)

    predictions, results = cached(evaluate_model)(
        model, calibration_rows, test_rows, baselines, params.evaluation, params.seed
    )
    gates = cached(check_candidate)(predictions, results, params.gate_rules)
    deployed, unseen = model, None
    if params.refit:
        deployed, unseen = cached(refit_model)(
            model, gates, train_rows, calibration_rows, test_rows, settings, params.stage, params.seed
        )
    bundle = cached(build_bundle)(
        deployed, model, train_rows, calibration_rows, test_rows, predictions, split, results,
        params.evaluation, data_facts, origin, name, params.seed, unseen,
    )  # fmt: skip
    reports = cached(draw_reports, but=())(bundle, test_rows, predictions, results, params.seed)

    known = champion_and_versions.with_identity(name, origin.identity)
    # What is known needs no tracked run; what is not known, or no more, or not to the stack's registry, which
    # may have been lost, is registered whatever is cached.
    registering = register_model.with_options(
        experiment_tracker=None if known else tracker(),
        enable_cache=known is not None and registry_mirror.has(known),
    )
    registered, _ = cached(registering)(
        bundle, reports, data_reports, results, params.experiment(), provenance
    )
    rules = params.judging
    judgement = cached(judge_candidate)(bundle, test_rows, predictions, gates, rules, champion, unseen)
    champion_now, decision = cached(promote_model)(
        registered, judgement, bundle, test_rows, predictions, gates, rules, name, unseen, may_return
    )
    cached(summarise, but=())(
        bundle, reports, predictions, results, decision, registered, champion_now, provenance
    )


def has(kind: StackComponentType) -> bool:
    """Whether the active stack has a component of this kind."""
    return bool(Client().active_stack_model.components.get(kind))


def tracker() -> str | None:
    """Return the name of the active stack's experiment tracker, or None."""
    components = Client().active_stack_model.components.get(StackComponentType.EXPERIMENT_TRACKER)
    return components[0].name if components else None


def validator() -> dict[str, Any]:
    """Return flavor and settings of the active stack's data validator.

    A step takes them as a parameter, so that a cached run validates again when they have changed.
    """
    component = Client().active_stack_model.components[StackComponentType.DATA_VALIDATOR][0]
    return {"flavor": component.flavor_name, **component.configuration}
