"""Model versions: ZenML keeps them on every stack, the stack's registry (MLflow), if any, mirrors them.

ZenML's stage `production` is the truth about who is champion; MLflow's alias `champion` follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from accidents.errors import AccidentsError
from steps.folder import Folder

if TYPE_CHECKING:
    from zenml.model_registries.base_model_registry import BaseModelRegistry
    from zenml.models import ModelVersionResponse

BUNDLE = "bundle"
REGISTRY_VERSION = "registry_version"  # the metadata key that holds MLflow's number of the same version


class RegistryError(AccidentsError):
    """A version, champion or predecessor that is asked for is not there."""


def model_name(stage: str) -> str:
    """The registered name of the model of a knowledge stage: champions are per stage."""
    return f"accident-severity-{stage.replace('_', '-')}"


def champion(name: str) -> ModelVersionResponse | None:
    """The version in production, or None."""
    from zenml.client import Client
    from zenml.enums import ModelStages

    try:
        return Client().get_model_version(name, ModelStages.PRODUCTION)
    except KeyError:
        return None


def version(name: str, number: str) -> ModelVersionResponse:
    """A version by its number. Raises RegistryError that names those there are."""
    from zenml.client import Client

    try:
        # As a number: ZenML takes a bare "1" for a name, and names may change.
        return Client().get_model_version(name, int(number))
    except (KeyError, ValueError):
        there = ", ".join(str(one.number) for one in versions(name)) or "none yet (run --pipeline train)"
        raise RegistryError(f"{name} has no version {number!r}. There are: {there}.") from None


def versions(name: str) -> list[ModelVersionResponse]:
    """Every version, oldest first."""
    from zenml.client import Client

    try:
        return sorted(Client().list_model_versions(model=name, size=1000).items, key=lambda one: one.number)
    except KeyError:
        return []


def with_bundle(name: str, digest: str) -> ModelVersionResponse | None:
    """The version whose bundle has this digest, or None."""
    return next((one for one in versions(name) if _metadata(one).get("bundle") == digest), None)


def bundle_of(one: ModelVersionResponse) -> Folder:
    """The bundle of a version, copied to this machine."""
    artifact = one.get_artifact(BUNDLE)
    if artifact is None:
        raise RegistryError(f"Version {one.number} of {one.model.name} has no bundle. Train again.")
    folder: Folder = artifact.load()
    return folder


def note(one: ModelVersionResponse, reason: str) -> None:
    """Write on a version why it was promoted or not."""
    from zenml.client import Client

    Client().update_model_version(one.model.id, one.id, description=reason)
    _tell_registry(one, tags={"decision": reason})


def remark(one: ModelVersionResponse, **tags: str) -> None:
    """Write on a version what the loop did with it, where ZenML's dashboard and the registry show it."""
    from zenml import log_metadata

    log_metadata(metadata={"loop": dict(tags)}, model_version_id=one.id)
    _tell_registry(one, tags={f"loop_{name}": value for name, value in tags.items()})


def promoted_at(one: ModelVersionResponse) -> str | None:
    """When a version became champion, ISO 8601; None for those promoted before 0.3."""
    return _promotion(one).get("at")


def promote(one: ModelVersionResponse, reason: str) -> None:
    """Make a version champion, in ZenML and in the stack's model registry; the old one is archived."""
    before = champion(one.model.name)
    if before is None or before.id != one.id:
        _enthrone(one, reason, replaced=str(before.number) if before else "")
    _tell_registry(one, champion=True)


def rollback(name: str) -> tuple[ModelVersionResponse, ModelVersionResponse]:
    """Put the version back that the champion replaced; return (new champion, old champion)."""
    now = champion(name)
    if now is None:
        raise RegistryError(f"{name} has no champion to roll back from. Run --pipeline train.")
    replaced = _promotion(now).get("replaced")
    if not replaced:
        raise RegistryError(f"Version {now.number} of {name} replaced no other: nothing to roll back to.")
    before = version(name, replaced)
    # What it had replaced itself stays: a second rollback goes one further back, not forward again.
    _enthrone(before, f"rolled back from version {now.number}", _promotion(before).get("replaced", ""))
    _tell_registry(before, champion=True)
    return before, now


def agree(name: str) -> ModelVersionResponse | None:
    """Set the registry's alias on ZenML's champion, should they differ (a crash in between); return it."""
    now = champion(name)
    if now is not None:
        _tell_registry(now, champion=True)
    return now


def registry_version(one: ModelVersionResponse) -> str | None:
    """The number the stack's model registry gave the same version, or None."""
    number = _metadata(one).get(REGISTRY_VERSION)
    return str(number) if number else None


def active_registry() -> BaseModelRegistry | None:
    """The active stack's model registry, or None."""
    from zenml.client import Client

    return Client().active_stack.model_registry


def _metadata(one: ModelVersionResponse) -> Mapping[str, Any]:
    return one.run_metadata


def _promotion(one: ModelVersionResponse) -> Mapping[str, str]:
    found: Mapping[str, str] = _metadata(one).get("promotion", {})
    return found


def _enthrone(one: ModelVersionResponse, reason: str, replaced: str) -> None:
    from zenml import log_metadata
    from zenml.enums import ModelStages

    # The way back is written before the step is taken.
    at = datetime.now(UTC).isoformat(timespec="seconds")
    promotion = {"reason": reason, "replaced": replaced, "at": at}
    log_metadata(metadata={"promotion": promotion}, model_version_id=one.id)
    one.set_stage(ModelStages.PRODUCTION, force=True)


def _tell_registry(
    one: ModelVersionResponse, champion: bool = False, tags: Mapping[str, str] | None = None
) -> None:
    from zenml.model_registries.base_model_registry import ModelRegistryModelMetadata, ModelVersionStage

    registry, number = active_registry(), registry_version(one)
    if registry is not None and number is not None:
        registry.update_model_version(
            one.model.name,
            number,
            metadata=ModelRegistryModelMetadata.model_validate(dict(tags)) if tags else None,
            stage=ModelVersionStage.PRODUCTION if champion else None,
        )
