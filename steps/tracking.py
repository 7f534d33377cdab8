"""A candidate as a tracked MLflow run: parameters, metrics, reports and the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import pandas as pd

from accidents.bundle import Bundle
from accidents.results import Results
from accidents.settings import Params
from accidents.versioning import ROOT

SERVED_WITH = ("mlflow", "lightgbm", "numpy", "pandas", "pyyaml", "pydantic", "scipy")


def tags_of(bundle: Bundle, provenance: Mapping[str, str]) -> dict[str, str]:
    """Where a bundle came from, as the tags of its run and its version."""
    return {
        **provenance,
        "bundle": bundle.digest,
        "data_version": bundle.facts["data_version"],
        "code_version": bundle.facts["code_version"],
        "source": bundle.facts["source"],
        "synthetic": str(bundle.facts["synthetic"]).lower(),
    }


def log_candidate(
    bundle: Bundle,
    reports: Sequence[Path],
    test_rows: pd.DataFrame,
    results: Results,
    params: Params,
    facts: Mapping[str, str],
) -> tuple[str, str]:
    """Log everything to the active run; return (run id, address of the model).

    Parameters
    ----------
    reports : folders whose files go under `reports/`.
    facts : tags.
    """
    import mlflow

    mlflow.log_params(_flat(params.model_dump(mode="json")))
    mlflow.set_tags(dict(facts))
    mlflow.log_metrics(_metrics(results))
    for folder in reports:
        mlflow.log_artifacts(str(folder), "reports")
    return _log_model(bundle, test_rows)


def log_recalibrated(bundle: Bundle, facts: Mapping[str, str]) -> tuple[str, str]:
    """Log a recalibrated version to the active run; return (run id, address of the model)."""
    import mlflow

    made = bundle.facts["recalibrated"]
    mlflow.set_tags({**facts, "kind": "recalibrate"})
    mlflow.log_metrics({"labels": made["labels"], "threshold": bundle.threshold})
    mlflow.log_params(bundle.model.calibration.to_dict())
    return _log_model(bundle, pd.read_parquet(bundle.folder / "reference.parquet"))


def _log_model(bundle: Bundle, rows: pd.DataFrame) -> tuple[str, str]:
    import mlflow

    example = rows[bundle.features].head(3).astype(float)
    model = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(ROOT / "serving" / "mlflow_model.py"),
        artifacts={"bundle": str(bundle.folder)},
        code_paths=[str(ROOT / "accidents")],
        signature=mlflow.models.infer_signature(example, bundle.predict(example.to_numpy("float32"))),
        input_example=example,
        # Named, because finding them out takes MLflow six seconds.
        pip_requirements=[f"{package}=={installed(package)}" for package in SERVED_WITH],
    )
    return str(model.run_id), str(model.model_uri)


def _metrics(results: Results) -> dict[str, float]:
    """Metrics with both ends of their intervals, the baselines' behind their name; only defined ones."""
    flat = {}
    for prefix, one in [
        ("", results.model),
        *((f"{name}.", each) for name, each in results.baselines.items()),
    ]:
        for metric, estimate in one.metrics.items():
            flat[f"{prefix}{metric}"] = estimate.value
            flat[f"{prefix}{metric}_low"] = estimate.low
            flat[f"{prefix}{metric}_high"] = estimate.high
    return {name: number for name, number in flat.items() if math.isfinite(number)}


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)[:500]
    return flat
