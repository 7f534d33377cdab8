"""A candidate as a tracked MLflow run: parameters, metrics, reports and the model."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from accidents.bundle import Bundle
from accidents.evaluation.results import Results
from accidents.files import ROOT
from accidents.source_code import files_of

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

SERVED_WITH = ("mlflow", "lightgbm", "numpy", "pandas", "pyyaml", "pydantic", "scipy")


def tags_of(bundle: Bundle, provenance: Mapping[str, str]) -> dict[str, str]:
    """Where a bundle came from, as the tags of its run and its version."""
    return {
        **provenance,
        "bundle": bundle.digest,
        "identity": bundle.facts["identity"],
        "data_version": bundle.facts["data_version"],
        "code_version": bundle.facts["code_version"],
        "source": bundle.facts["source"],
        "synthetic": str(bundle.facts["synthetic"]).lower(),
    }


def log_candidate(
    reports: Sequence[Path], results: Results, params: Mapping[str, Any], tags: Mapping[str, str]
) -> None:
    """Log everything but the model to the active run.

    Parameters
    ----------
    reports : folders whose files go under `reports/`.
    params : nested; they are logged with dotted names.
    """
    import mlflow

    mlflow.log_params(_flat(params))
    mlflow.set_tags(dict(tags))
    mlflow.log_metrics(_metrics(results))
    for folder in reports:
        mlflow.log_artifacts(str(folder), "reports")


def log_recalibrated(bundle: Bundle, tags: Mapping[str, str]) -> None:
    """Log everything but the model of a recalibrated version to the active run."""
    import mlflow

    mlflow.set_tags({**tags, "kind": "recalibrate"})
    mlflow.log_metrics({"labels": bundle.facts["recalibrated"]["labels"], "threshold": bundle.threshold})
    mlflow.log_params(bundle.model.calibration.to_dict())


def log_model(bundle: Bundle) -> tuple[str, str]:
    """Log the bundle to the active run as a model; return (run id, address of the model)."""
    import mlflow
    import pandas as pd

    rows = pd.read_parquet(bundle.folder / "reference.parquet", columns=bundle.features)
    with _code() as code, _same_path():
        model = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(ROOT / "serving" / "runtime" / "mlflow_model.py"),
            artifacts={"bundle": str(bundle.folder)},
            model_config={"digest": bundle.digest},
            code_paths=[str(code)],
            signature=signature_of(bundle),
            input_example=rows.head(3).astype(float),
            # Named, because finding them out takes MLflow six seconds.
            pip_requirements=[f"{package}=={installed(package)}" for package in SERVED_WITH],
        )
    return str(model.run_id), str(model.model_uri)


@contextmanager
def _same_path() -> Iterator[None]:
    """Take back what MLflow puts before `sys.path`: it tries the model, whose few files would hide ours."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path = before


@contextmanager
def _code() -> Iterator[Path]:
    """Yield a folder `accidents` of what a bundle predicts with: a server is sent each file by itself."""
    with TemporaryDirectory(prefix="code-") as folder:
        for file in files_of("accidents.bundle"):
            copy = Path(folder) / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        yield Path(folder) / "accidents"


def signature_of(bundle: Bundle) -> ModelSignature:
    """Return the declared features, each a number that may be missing, whatever the training rows hold."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    columns: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double, name, required=False) for name in bundle.features
    ]
    return ModelSignature(Schema(columns), Schema([TensorSpec(np.dtype(np.float64), (-1,))]))


@contextmanager
def run_of(name: str) -> Iterator[None]:
    """Yield a run of the active stack's tracker outside any step, for a model that is registered later."""
    import mlflow
    from zenml.client import Client

    tracker: Any = Client().active_stack.experiment_tracker
    tracker.configure_mlflow()
    # ZenML's own way: MLflow's `set_experiment` would put a new one's files into ./mlruns.
    tracker._set_active_experiment("train")
    with mlflow.start_run(run_name=f"{name}, registered again"):
        yield


def _metrics(results: Results) -> dict[str, float]:
    """Metrics with both ends of their intervals, the baselines' behind their name; only defined ones."""
    flat = {}
    for prefix, evaluated in [
        ("", results.model),
        *((f"{name}.", each) for name, each in results.baselines.items()),
    ]:
        for metric, estimate in evaluated.metrics.items():
            flat[f"{prefix}{metric}"] = estimate.value
            flat[f"{prefix}{metric}_low"] = estimate.low
            flat[f"{prefix}{metric}_high"] = estimate.high
    return {name: number for name, number in flat.items() if math.isfinite(number)}


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)[:500]
    return flat
