"""A recalibrated version into the stack's tracker and registry, and a ZenML model version."""

from __future__ import annotations

from typing import Annotated, Any

from zenml import log_metadata, step
from zenml.client import Client

from accidents.bundle import load_bundle
from steps import registry
from steps.folder import Folder
from steps.register_model import mirror, new_version
from steps.tracking import log_recalibrated, tags_of


@step
def register_recalibrated(
    bundle: Folder, decision: dict[str, Any], provenance: dict[str, str]
) -> Annotated[str, "model_version"]:
    """Log and register it; return the number of its ZenML model version.

    A bundle that is registered already, byte for byte, keeps its version.
    """
    loaded = load_bundle(bundle.path)
    name = registry.model_name(loaded.stage)
    known = registry.with_bundle(name, loaded.digest)
    if known is not None:
        return str(known.number)
    facts = tags_of(loaded, provenance) | {"recalibrated_from": str(loaded.facts["recalibrated"]["version"])}
    tracked = None
    if Client().active_stack.experiment_tracker is not None:
        tracked = log_recalibrated(loaded, facts)
    mirrored = mirror(name, tracked, facts)
    if mirrored:
        facts[registry.REGISTRY_VERSION] = mirrored
    made = new_version(name)
    told = {"recalibrated": loaded.facts["recalibrated"], "gates": decision["gates"]}
    log_metadata(metadata={**facts, **told}, model_version_id=made.id)
    return str(made.number)
