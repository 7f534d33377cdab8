"""The stack's model registry (MLflow), if it has one: a mirror of ZenML's model versions.

ZenML's store is the truth. What the registry lacks, after a crash or because it was lost, is made up for from
the version's bundle; its alias `champion` follows ZenML's stage `production`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from accidents.bundle import Bundle
from accidents.errors import AccidentsError

if TYPE_CHECKING:
    from zenml.model_registries.base_model_registry import BaseModelRegistry
    from zenml.models import ModelVersionResponse

NUMBER = "registry_version"  # the metadata key that holds the registry's number of the same version


class MirrorError(AccidentsError):
    """The stack's model registry cannot be asked or told."""


def active_registry() -> BaseModelRegistry | None:
    """The active stack's model registry, or None."""
    from zenml.client import Client

    return Client().active_stack.model_registry


def registry_version(one: ModelVersionResponse) -> str | None:
    """The number the stack's model registry gave the same version, or None; read anew."""
    from zenml.client import Client

    number = Client().get_model_version(one.model.id, one.id).run_metadata.get(NUMBER)
    return str(number) if number else None


def has(one: ModelVersionResponse) -> bool:
    """Whether the registry holds this version, with this bundle. Raises MirrorError if it cannot be asked."""
    registry, number = active_registry(), registry_version(one)
    if registry is None or number is None:
        return registry is None
    try:
        held = registry.get_model_version(one.model.name, number)
    except KeyError:
        return False
    except Exception as error:  # each registry has its own
        raise MirrorError(f"The model registry cannot be asked: {_first_line(error)}") from error
    tags: dict[str, Any] = held.metadata.model_dump() if held.metadata else {}
    return bool(tags.get("bundle") == one.run_metadata["bundle"])


def register(one: ModelVersionResponse, run_id: str, address: str, tags: Mapping[str, str]) -> None:
    """Register a model that was logged at `address`, and write its number there on the version."""
    from zenml import log_metadata

    registry: Any = active_registry()
    if registry is None:
        return
    try:
        registry.get_model(one.model.name)
    except KeyError:
        registry.register_model(one.model.name)
    # Not through ZenML, which does not tell the model's id: a server refuses an address without it.
    made = registry.mlflow_client.create_model_version(
        one.model.name,
        address,
        run_id=run_id,
        tags={"mlflow_run_id": run_id, **tags},
        model_id=address.removeprefix("models:/"),
    )
    log_metadata(metadata={NUMBER: str(made.version)}, model_version_id=one.id)


def add(one: ModelVersionResponse, bundle: Bundle) -> None:
    """Register a version that the registry lacks, outside of the training that made it."""
    from steps.support.tracking import log_model, run_of

    kept = {key: value for key, value in one.run_metadata.items() if isinstance(value, str) and key != NUMBER}
    try:
        with run_of(one.model.name):
            register(one, *log_model(bundle), kept)
    except Exception as error:  # each registry has its own
        raise MirrorError(
            f"The model registry lacks version {one.number} and cannot be given it: {_first_line(error)}. "
            "Nothing was changed."
        ) from error


def tell(one: ModelVersionResponse, champion: bool = False, tags: Mapping[str, str] | None = None) -> None:
    """Write tags on the registry's version, or set its alias `champion`; nothing where it has none."""
    from zenml.model_registries.base_model_registry import ModelRegistryModelMetadata, ModelVersionStage

    registry, number = active_registry(), registry_version(one)
    if registry is None or number is None:
        return
    try:
        registry.update_model_version(
            one.model.name,
            number,
            metadata=ModelRegistryModelMetadata.model_validate(dict(tags)) if tags else None,
            stage=ModelVersionStage.PRODUCTION if champion else None,
        )
    except Exception as error:  # each registry has its own
        raise MirrorError(
            f"The model registry could not be told of version {one.number}: {_first_line(error)}. ZenML's "
            "store is right; the next `run.py promote` or training tells it again."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
