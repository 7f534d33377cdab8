"""A recalibrated version into the stack's tracker and registry, and a ZenML model version."""

from __future__ import annotations

from typing import Annotated, Any

from zenml import step

from accidents.bundle import load_bundle
from steps.folder import Folder
from steps.promotion.register_model import register
from steps.support.tracking import log_recalibrated, tags_of


@step(enable_cache=False)  # versions are outside the artifact store, and may be gone
def register_recalibrated(
    bundle: Folder, decision: dict[str, Any], provenance: dict[str, str]
) -> Annotated[str, "model_version"]:
    """Log and register it; return the number of its ZenML model version."""
    loaded = load_bundle(bundle.path)
    made = loaded.facts["recalibrated"]
    tags = tags_of(loaded, provenance) | {"recalibrated_from": str(made["version"])}
    more = {"recalibrated": made, "gates": decision["gates"]}
    number, _ = register(loaded, tags, more, lambda: log_recalibrated(loaded, tags))
    return number
