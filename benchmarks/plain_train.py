"""The work of `python run.py --pipeline train` as plain function calls: no pipeline, no ZenML store.

    python -m benchmarks.plain_train OUTPUT.json

Run in a copy of the project (benchmarks/zenml_overhead.py makes one): it writes data/, reports/ and plain/
there. The bodies of the steps are called as they are, so the work is the same by construction. Only what asks
ZenML for a component is called on the component itself: Evidently's validator, MLflow. The steps' files
import ZenML; how long that takes is told apart, for it is not plain work.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accidents.bundle.provenance import git_commit
from accidents.data.dataset import fetch_raw
from accidents.files import ROOT
from accidents.params import Params, load_params
from pipelines.identity import made_from
from stacks.environment import prepare_environment

if TYPE_CHECKING:
    import pandas as pd

# What both ways load, before ZenML is imported: or its import would be charged with them.
SHARED = (
    "pandas", "sklearn.ensemble", "lightgbm", "scipy.stats", "matplotlib.figure", "pyarrow",
    "evidently.presets", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "dvc.repo",
    "accidents.data.dataset", "accidents.bundle", "accidents.promotion.champion_comparison",
    "accidents.evaluation.behaviour",
    "accidents.training.baselines", "accidents.reports.figures", "accidents.reports.maps",
    "accidents.reports.card",
)  # fmt: skip
STEPS = ("build_bundle", "build_features", "check_candidate", "draw_reports", "evaluate_model",
         "judge_candidate", "load_data", "refit_model", "register_model", "report_quality",
         "score_baselines", "split_data", "summarise", "train_model")  # fmt: skip


def main(output: str) -> None:
    """Train in this project's folder; write the seconds that importing ZenML took."""
    prepare_environment(ROOT)
    for name in SHARED:
        importlib.import_module(name)
    started, before = time.perf_counter(), time.process_time()
    pipeline = importlib.import_module("pipelines.train")
    bodies = {name: getattr(pipeline, name).entrypoint for name in STEPS}
    importlib.import_module("stacks.components.evidently.validator")
    importing = {"wall": time.perf_counter() - started, "cpu": time.process_time() - before}
    train(load_params(ROOT / "params.yaml"), bodies, ROOT / "plain")
    Path(output).write_text(json.dumps(importing), encoding="utf-8")


def train(params: Params, step: Mapping[str, Any], store: Path) -> None:
    """Do what pipelines/train.py wires, one call after another; reports go where run.py puts them."""
    stage, seed, provenance = params.stage, params.seed, {"git_commit": git_commit(ROOT)}
    raw_version = fetch_raw(params.data).version
    tables, facts = step["load_data"](params.data, raw_version)
    quality = step["report_quality"](tables)
    rows = step["build_features"](tables, stage)
    training, calibration, test, split = step["split_data"](rows, params.split, seed)
    data_reports = validate(training, test, stage, store / "data_reports")
    model = step["train_model"](training, calibration, params.model, stage, seed)
    baselines = step["score_baselines"](training, calibration, test, stage, seed)
    predictions, results = step["evaluate_model"](
        model, calibration, test, baselines, params.evaluation, seed
    )
    gates = step["check_candidate"](predictions, results, params.gate_rules)
    deployed, unseen = model, None
    if params.refit:
        deployed, unseen = step["refit_model"](
            model, gates, training, calibration, test, params.model, stage, seed
        )
    bundle = step["build_bundle"](
        deployed, model, training, calibration, test, predictions, split, results, params.evaluation, facts,
        made_from(params, raw_version), f"accident-severity-{stage}", seed, unseen,
    )  # fmt: skip
    reports = step["draw_reports"](bundle, test, predictions, results, seed)
    number = track(bundle.path, [reports.path, data_reports], results, params, provenance, store)
    decision = step["judge_candidate"](bundle, test, predictions, gates, params.judging, None, unseen)
    champion = promote(bundle.path, number, decision)
    summary, _ = step["summarise"](
        bundle, reports, predictions, results, decision, number, champion, provenance
    )
    for folder in (quality.path, reports.path, data_reports, summary.path):
        shutil.copytree(folder, ROOT / "reports", dirs_exist_ok=True)


def validate(training: pd.DataFrame, test: pd.DataFrame, stage: str, folder: Path) -> Path:
    """Do what steps/data/validate_data.py does, on the validator itself."""
    from benchmarks.drift_windows import validator
    from steps.data.validate_data import kinds_of_columns

    columns = kinds_of_columns(stage) | {"target_columns": ["severe"]}
    component = validator()
    quality = component.data_profiling(test, **columns)
    drift = component.data_validation(test, training, **columns)
    folder.mkdir(parents=True)
    (folder / "data_quality.html").write_text(quality.html, encoding="utf-8")
    (folder / "data_drift.html").write_text(drift.html, encoding="utf-8")
    (folder / "drift.json").write_text(json.dumps(drift.to_dict(), indent=1), encoding="utf-8")
    return folder


def track(
    folder: Path,
    reports: list[Path],
    results: dict[str, Any],
    params: Params,
    provenance: dict[str, str],
    store: Path,
) -> str:
    """Register as steps.promotion.register_model does, in an MLflow of our own; return the version."""
    import mlflow

    from accidents.bundle import load_bundle
    from accidents.evaluation.results import Results
    from steps.support.tracking import log_candidate, log_model, tags_of

    bundle = load_bundle(folder)
    facts = tags_of(bundle, provenance)
    mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")
    mlflow.create_experiment("train", artifact_location=(store / "artifacts").as_uri())
    mlflow.set_experiment("train")
    with mlflow.start_run():
        log_candidate(reports, Results.from_dict(results), params.experiment(), facts)
        _, address = log_model(bundle)
        return str(mlflow.register_model(address, bundle.facts["name"], tags=facts).version)


def promote(folder: Path, number: str, decision: dict[str, Any]) -> str:
    """Do what steps/promotion/promote_model.py does, in MLflow; return who is champion, "" for nobody."""
    from mlflow import MlflowClient

    from accidents.bundle import load_bundle

    client, name = MlflowClient(), load_bundle(folder).facts["name"]
    client.set_model_version_tag(name, number, "decision", decision["reason"])
    if not decision["promote"]:
        return ""
    client.set_registered_model_alias(name, "champion", number)
    return number


if __name__ == "__main__":
    main(*sys.argv[1:])
