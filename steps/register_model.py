"""Everything about a candidate into the stack's tracker and registry, and a ZenML model version."""

from __future__ import annotations

import math
from importlib.metadata import version as installed
from typing import Annotated, Any

import pandas as pd
from zenml import get_step_context, log_metadata, step
from zenml.client import Client
from zenml.model.utils import link_artifact_version_to_model_version

from accidents.bundle import Bundle, load_bundle
from accidents.results import Results
from accidents.settings import Params
from accidents.versioning import ROOT
from steps import registry
from steps.folder import Folder

SERVED_WITH = ("mlflow", "lightgbm", "numpy", "pandas", "pyyaml", "pydantic", "scipy")


@step
def register_model(
    bundle: Folder,
    reports: Folder,
    data_reports: Folder | None,
    test_rows: pd.DataFrame,
    results: dict[str, Any],
    params: Params,
    provenance: dict[str, str],
) -> Annotated[str, "model_version"]:
    """Log and register the candidate; return the number of its ZenML model version.

    A bundle that is registered already, byte for byte, keeps its version.
    """
    loaded, judged = load_bundle(bundle.path), Results.from_dict(results)
    name = registry.model_name(loaded.stage)
    known = registry.with_bundle(name, loaded.digest)
    if known is not None:
        return str(known.number)
    facts = {
        **provenance,
        "bundle": loaded.digest,
        "data_version": loaded.facts["data_version"],
        "code_version": loaded.facts["code_version"],
        "source": loaded.facts["source"],
        "synthetic": str(loaded.facts["synthetic"]).lower(),
    }
    folders = [reports, data_reports] if data_reports else [reports]
    tracked = _track(loaded, folders, test_rows, judged, params, facts)
    registered = _register(name, tracked, facts)
    if registered:
        facts[registry.REGISTRY_VERSION] = registered
    made = _version(name)
    figures = {metric: estimate.value for metric, estimate in judged.model.metrics.items()}
    log_metadata(metadata={**facts, "metrics": figures}, model_version_id=made.id)
    return str(made.number)


def _version(name: str) -> Any:
    """A new ZenML model version with this run's bundle and reports linked to it."""
    client = Client()
    try:
        client.get_model(name)
    except KeyError:
        client.create_model(
            name, description="P(someone is killed or hospitalised | an injury accident was recorded)"
        )
    made = client.create_model_version(name)
    for artifacts in get_step_context().step_run.inputs.values():
        for artifact in artifacts:
            if artifact.artifact.name in (registry.BUNDLE, "reports", "data_reports"):
                link_artifact_version_to_model_version(artifact, made)
    return made


def _track(
    bundle: Bundle,
    folders: list[Folder],
    test_rows: pd.DataFrame,
    results: Results,
    params: Params,
    facts: dict[str, str],
) -> tuple[str, str] | None:
    """Log parameters, metrics, reports and model; (run id, model address), or None with no tracker."""
    if Client().active_stack.experiment_tracker is None:
        return None
    import mlflow

    mlflow.log_params(_flat(params.model_dump(mode="json")))
    mlflow.set_tags(facts)
    mlflow.log_metrics(_metrics(results))
    for folder in folders:
        mlflow.log_artifacts(str(folder.path), "reports")
    example = test_rows[bundle.features].head(3).astype(float)
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


def _register(name: str, tracked: tuple[str, str] | None, facts: dict[str, str]) -> str | None:
    """Register what was tracked in the stack's registry; its version there, or None with no registry."""
    stack_registry = registry.active_registry()
    if stack_registry is None or tracked is None:
        return None
    from zenml.model_registries.base_model_registry import ModelRegistryModelMetadata

    run_id, address = tracked
    metadata = ModelRegistryModelMetadata.model_validate({"mlflow_run_id": run_id, **facts})
    return str(
        stack_registry.register_model_version(name, model_source_uri=address, metadata=metadata).version
    )


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
