"""Everything about a candidate into the stack's tracker and registry, and a ZenML model version."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import get_step_context, log_metadata, step
from zenml.client import Client
from zenml.model.utils import link_artifact_version_to_model_version

from accidents.bundle import load_bundle
from accidents.results import Results
from accidents.settings import Params
from steps import registry
from steps.folder import Folder
from steps.tracking import log_candidate, tags_of


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
    facts = tags_of(loaded, provenance)
    folders = [reports, data_reports] if data_reports else [reports]
    tracked = None
    if Client().active_stack.experiment_tracker is not None:
        tracked = log_candidate(loaded, [one.path for one in folders], test_rows, judged, params, facts)
    registered = mirror(name, tracked, facts)
    if registered:
        facts[registry.REGISTRY_VERSION] = registered
    made = new_version(name)
    figures = {metric: estimate.value for metric, estimate in judged.model.metrics.items()}
    log_metadata(metadata={**facts, "metrics": figures}, model_version_id=made.id)
    return str(made.number)


def new_version(name: str) -> Any:
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


def mirror(name: str, tracked: tuple[str, str] | None, facts: dict[str, str]) -> str | None:
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
