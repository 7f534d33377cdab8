"""The stack's model registry (MLflow), if it has one: a mirror of ZenML's model versions.

ZenML's store is the truth. What the registry lacks, because it was lost, is made up for from the version's
bundle; what it holds of a version that was never finished is deleted; its alias `champion` follows ZenML's
stage `production`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from accidents.bundle import Bundle
from accidents.errors import AccidentsError

if TYPE_CHECKING:
    from zenml.integrations.mlflow.model_registries import MLFlowModelRegistry
    from zenml.models import ModelVersionResponse

NUMBER = "registry_version"  # the metadata key that holds the registry's number of the same version
_OF = "zenml_version_id"  # the registry's tag that holds ZenML's id of the same version
_ABSENT, _PRESENT = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"  # MLflow's codes


class MirrorError(AccidentsError):
    """The stack's model registry cannot be asked or told."""


def active_registry() -> MLFlowModelRegistry | None:
    """Return the active stack's model registry, or None.

    It is asked through its `mlflow_client`: ZenML's own methods take every error for "there is none".
    """
    from zenml.client import Client

    return cast("MLFlowModelRegistry | None", Client().active_stack.model_registry)


def registry_version(version: ModelVersionResponse) -> str | None:
    """Return the number the stack's model registry gave the same version, or None; read anew."""
    from zenml.client import Client

    number = Client().get_model_version(version.model.id, version.id).run_metadata.get(NUMBER)
    return str(number) if number else None


def has(version: ModelVersionResponse) -> bool:
    """Whether the registry holds this version, with this bundle. Raises MirrorError if it cannot be asked.

    By the number in `version`: where a pipeline is put together, ZenML reads nothing anew.
    """
    registry, number = active_registry(), version.run_metadata.get(NUMBER)
    if registry is None or number is None:
        return registry is None
    try:
        held = registry.mlflow_client.get_model_version(version.model.name, str(number))
    except Exception as error:
        if _code(error) == _ABSENT:
            return False
        raise _unreachable(error) from error
    return bool(held.tags.get("bundle") == version.run_metadata["bundle"])


def register(version: ModelVersionResponse, run_id: str, address: str, tags: Mapping[str, str]) -> None:
    """Register a model that was logged at `address`, and write its number there on the version."""
    from zenml import log_metadata

    registry = active_registry()
    if registry is None:
        return
    client = registry.mlflow_client
    try:
        client.create_registered_model(version.model.name)
    except Exception as error:
        if _code(error) != _PRESENT:
            raise
    # With the model's id: a server refuses an address without it.
    made = client.create_model_version(
        version.model.name,
        address,
        run_id=run_id,
        tags={"mlflow_run_id": run_id, **tags, _OF: str(version.id)},
        model_id=address.removeprefix("models:/"),
    )
    forget(version, but={str(made.version)})
    log_metadata(metadata={NUMBER: str(made.version)}, model_version_id=version.id)


def forget(version: ModelVersionResponse, but: Collection[str] = ()) -> None:
    """Delete what the registry holds of a version that is not finished, `but` these numbers.

    A request whose answer was lost has been done, and its client asks again. Raises MirrorError.
    """
    registry = active_registry()
    for number in _held(version):
        if registry is None or number in but:
            continue
        try:
            registry.mlflow_client.delete_model_version(version.model.name, number)
        except Exception as error:
            if _code(error) != _ABSENT:
                raise _unreachable(error) from error


def _held(version: ModelVersionResponse) -> dict[str, str]:
    """Return what the registry holds of a version: digest of the bundle by number, the newest first."""
    registry = active_registry()
    if registry is None:
        return {}
    query = f"name='{version.model.name}' and tags.{_OF}='{version.id}'"
    try:
        versions = registry.mlflow_client.search_model_versions(query)
    except Exception as error:
        raise _unreachable(error) from error
    newest_first = sorted(versions, key=lambda mirrored: int(mirrored.version), reverse=True)
    return {str(mirrored.version): mirrored.tags.get("bundle", "") for mirrored in newest_first}


def add(version: ModelVersionResponse, bundle: Bundle) -> None:
    """Have the registry hold a version, outside of the training that made it.

    It may hold it already, under another number than the registry of the last stack. Raises MirrorError.
    """
    from zenml import log_metadata

    from steps.support.tracking import log_model, run_of

    before = _held(version)
    same = next((number for number, digest in before.items() if digest == bundle.digest), None)
    if same is not None:
        log_metadata(metadata={NUMBER: same}, model_version_id=version.id)
        return

    kept = {
        key: value for key, value in version.run_metadata.items() if isinstance(value, str) and key != NUMBER
    }
    try:
        with run_of(version.model.name):
            register(version, *log_model(bundle), kept)
    except Exception as error:
        with suppress(MirrorError):
            forget(version, but=before)
        raise MirrorError(
            f"The model registry lacks version {version.number} and cannot be given it: {_first_line(error)}."
            " No version was changed."
        ) from error


def tell(
    version: ModelVersionResponse, champion: bool = False, tags: Mapping[str, str] | None = None
) -> None:
    """Write tags on the registry's version, or set its alias `champion`; nothing where it has none."""
    from zenml.model_registries.base_model_registry import ModelRegistryModelMetadata, ModelVersionStage

    registry, number = active_registry(), registry_version(version)
    if registry is None or number is None:
        return
    try:
        registry.update_model_version(
            version.model.name,
            number,
            metadata=ModelRegistryModelMetadata.model_validate(dict(tags)) if tags else None,
            stage=ModelVersionStage.PRODUCTION if champion else None,
        )
    except Exception as error:
        raise MirrorError(
            f"The model registry could not be told of version {version.number}: {_first_line(error)}. "
            "ZenML's store is right; the next `run.py promote` or training tells it again."
        ) from error


def _code(error: Exception) -> str:
    """MLflow's code of an error; "" of another error."""
    return str(getattr(error, "error_code", ""))


def _unreachable(error: Exception) -> MirrorError:
    return MirrorError(
        f"The model registry cannot be asked: {_first_line(error)}. When it answers, run the command again."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
