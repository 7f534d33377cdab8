"""Train: from raw accident files to a registered model, promoted if it deserves it."""

from __future__ import annotations

from typing import Any

from zenml import pipeline
from zenml.client import Client
from zenml.config.cache_policy import CachePolicy
from zenml.enums import ExecutionMode, StackComponentType

from accidents.settings import Params
from accidents.versioning import code_version
from pipelines.progress import step_started
from steps.build_bundle import build_bundle
from steps.build_features import build_features
from steps.check_candidate import check_candidate
from steps.draw_reports import draw_reports
from steps.evaluate_model import evaluate_model
from steps.judge_candidate import judge_candidate
from steps.load_data import load_data
from steps.promote_model import promote_model
from steps.refit_model import refit_model
from steps.register_model import register_model
from steps.score_baselines import score_baselines
from steps.split_data import split_data
from steps.summarise import summarise
from steps.train_model import train_model
from steps.tune_model import tune_model
from steps.validate_data import validate_data

# A cached step runs again when the domain's own code has changed, not only the step's few lines.
CACHE = CachePolicy.model_validate({"cache_func": code_version})


# Fail fast, or ZenML replaces a step's own error by one that names the step only.
@pipeline(name="train", cache_policy=CACHE, on_start=step_started, execution_mode=ExecutionMode.FAIL_FAST)
def train(params: Params, raw_version: str, champion: str | None, provenance: dict[str, str]) -> None:
    """Train one candidate and decide about it.

    Parameters
    ----------
    raw_version : DVC hash of the raw files as they are now.
    champion : version of who is champion now, None if there is none.
    provenance : tags for the version and the tracked run, such as the git commit.
    """
    tables, _, data_facts = load_data(params.data, raw_version)
    rows = build_features(tables, params.stage)
    train_rows, calibration_rows, test_rows, split = split_data(rows, params.split)

    data_reports = (
        validate_data(train_rows, test_rows, params.stage) if has(StackComponentType.DATA_VALIDATOR) else None
    )

    settings: Any = params.model
    if params.tuning.trials:
        settings = tune_model(train_rows, params.model, params.stage, params.tuning.trials, params.seed)
    model = train_model(train_rows, calibration_rows, settings, params.stage, params.seed)
    baselines = score_baselines(train_rows, calibration_rows, test_rows, params.stage, params.seed)

    predictions, results = evaluate_model(
        model, calibration_rows, test_rows, baselines, params.evaluation, params.seed
    )
    gates = check_candidate(predictions, results, params)
    deployed, unseen = model, None
    if params.refit:
        deployed, unseen = refit_model(
            model, gates, train_rows, calibration_rows, test_rows, settings, params.stage, params.seed
        )
    bundle = build_bundle(
        deployed, model, train_rows, calibration_rows, test_rows, predictions, split, results, params,
        data_facts, unseen,
    )  # fmt: skip
    reports = draw_reports(bundle, test_rows, predictions, results)

    registered = register_model.with_options(experiment_tracker=tracker())(
        bundle, reports, data_reports, test_rows, results, params, provenance
    )
    decision = judge_candidate(bundle, test_rows, predictions, gates, params, champion, unseen)
    champion_now = promote_model(registered, decision, params.stage)
    summarise(bundle, reports, predictions, results, decision, registered, champion_now, provenance)


def has(kind: StackComponentType) -> bool:
    """Whether the active stack has a component of this kind."""
    return bool(Client().active_stack_model.components.get(kind))


def tracker() -> str | None:
    """The name of the active stack's experiment tracker, or None."""
    components = Client().active_stack_model.components.get(StackComponentType.EXPERIMENT_TRACKER)
    return components[0].name if components else None
