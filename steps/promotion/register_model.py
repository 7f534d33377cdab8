"""Everything about a candidate into the stack's tracker and registry, and a ZenML model version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any

from zenml import get_step_context, log_metadata, step
from zenml.client import Client
from zenml.model.utils import link_artifact_version_to_model_version
from zenml.models import ModelVersionResponse

from accidents.bundle import Bundle, load_bundle
from accidents.evaluation.results import Results
from steps.folder import Folder
from steps.support import champion_and_versions, registry_mirror
from steps.support.tracking import log_candidate, log_model, tags_of


@step
def register_model(
    bundle: Folder,
    reports: Folder,
    data_reports: Folder | None,
    results: dict[str, Any],
    params: dict[str, Any],
    provenance: dict[str, str],
) -> tuple[Annotated[str, "model_version"], Annotated[bool, "newly_registered"]]:
    """Log and register the candidate; return the number of its ZenML model version, and whether it is new."""
    loaded, judged = load_bundle(bundle.path), Results.from_dict(results)
    tags = tags_of(loaded, provenance)
    metrics = {metric: estimate.value for metric, estimate in judged.model.metrics.items()}

    def log() -> None:
        log_candidate([folder.path for folder in (reports, data_reports) if folder], judged, params, tags)

    number, is_new = register(loaded, tags, {"metrics": metrics}, log)
    return number, is_new  # as a tuple, or ZenML takes both for one output


def register(
    bundle: Bundle, tags: Mapping[str, str], more: Mapping[str, Any], log: Callable[[], None]
) -> tuple[str, bool]:
    """Return the number of a bundle's version, and whether it was made now, by the step that calls this.

    What was made from the same is registered already and keeps its version; where the stack's registry lacks
    that, it is registered there again. What goes wrong on the way leaves no version, there nor in ZenML.

    Parameters
    ----------
    more : what ZenML's version has beside its tags. log : logs to the tracked run all but the model.
    """
    name = bundle.facts["name"]
    with champion_and_versions.changing():
        champion_and_versions.bury(name)
        known = champion_and_versions.with_identity(name, bundle.facts["identity"])
        if known is not None:
            champion_and_versions.complete(known)
            return str(known.number), False
        version = _new_version(name)
        try:
            _link_artifacts(version)
            if Client().active_stack.experiment_tracker is not None:
                logged = log_model(bundle)  # first: MLflow asks a server for it with each metric otherwise
                log()
                registry_mirror.register(version, *logged, tags)
            # ZenML writes key by key: last, by itself, the digest of its bundle, which finishes the version.
            metadata = {**tags, **more}
            finishing = {champion_and_versions.BUNDLE: metadata.pop(champion_and_versions.BUNDLE)}
            log_metadata(metadata=metadata, model_version_id=version.id)
            log_metadata(metadata=finishing, model_version_id=version.id)
        except BaseException:
            _take_back(version)
            raise
    return str(version.number), True


def _new_version(name: str) -> ModelVersionResponse:
    """Make a new ZenML model version, not finished yet."""
    client = Client()
    try:
        client.get_model(name)
    except KeyError:
        client.create_model(
            name, description="P(someone is killed or hospitalised | an injury accident was recorded)"
        )
    return client.create_model_version(name)


def _link_artifacts(version: ModelVersionResponse) -> None:
    """Link this run's bundle and reports to a version."""
    for artifacts in get_step_context().step_run.inputs.values():
        for artifact in artifacts:
            if artifact.artifact.name in (champion_and_versions.BUNDLE, "reports", "data_reports"):
                link_artifact_version_to_model_version(artifact, version)


def _take_back(version: ModelVersionResponse) -> None:
    """Leave nothing of a version that could not be finished; where that fails, too, the next `bury` does."""
    with suppress(Exception):
        registry_mirror.forget(version)
        Client().delete_model_version(version.id)
