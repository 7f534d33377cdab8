"""The bundle of the champion, or of a version asked for."""

from typing import Annotated, Any

from zenml import step

from accidents.errors import AccidentsError
from steps.folder import Folder
from steps.support import registry


@step
def load_version(
    stage: str, version: str | None
) -> tuple[Annotated[Folder, "bundle"], Annotated[dict[str, Any], "version_facts"]]:
    """Find the version, copy its bundle here, check that it is what was registered."""
    name = registry.model_name(stage)
    chosen = registry.champion(name) if version is None else registry.version(name, version)
    if chosen is None:
        raise AccidentsError(f"{name} has no champion yet. Run --pipeline train, or name a --version.")
    bundle = registry.bundle_of(chosen)
    facts = {
        "name": name,
        "version": str(chosen.number),
        "digest": bundle.digest,
        "synthetic": bool(bundle.facts["synthetic"]),
    }
    return Folder(bundle.folder), facts
