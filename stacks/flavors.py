"""What a component may be: its flavor, the flavor's settings, and what must be installed for it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from stacks.components import FLAVORS, OwnFlavor
from stacks.components.bentoml import installed as bentoml
from stacks.definition import StackDefinition, did_you_mean
from stacks.errors import StackError

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.models import FlavorResponse
    from zenml.stack import Flavor

_PLATFORM = "Install what requirements/platform.txt locks: make staging."
# How what a flavor wraps, or a service connector, is installed, where a lock of ours has it.
REMEDIES = {
    "bentoml": bentoml.REMEDY,
    "s3": _PLATFORM,
    "aws": _PLATFORM,
    "azure": "Install what requirements/azure.txt locks: make azure.",
    "gcp": "Install what requirements/gcp.txt locks: make gcp.",
    "kubernetes_image": _PLATFORM,
    "seldon_core": _PLATFORM,
}


def register_flavors(client: Client) -> list[str]:
    """Register our flavors, if what they wrap is installed; refresh those whose settings have changed."""
    from zenml.enums import StackComponentType
    from zenml.models import FlavorUpdate

    changes = []
    for own in FLAVORS:
        kind = StackComponentType(own.type)
        known = _registered(client, kind, own.name)
        if known is None:
            if is_installed(own.package):
                client.create_flavor(own.source, kind)
                changes.append(f"registered flavor {own.name}")
            continue
        flavor = _own_flavor(own)
        if (known.source, known.config_schema) != (own.source, flavor.config_schema):
            update = FlavorUpdate(source=own.source, config_schema=flavor.config_schema)
            client.zen_store.update_flavor(known.id, update)
            changes.append(f"updated flavor {own.name}")
    return changes


def is_installed(package: str) -> bool:
    """Whether a package is installed; "" always is. Not by import: that would find our kubernetes/."""
    try:
        return not package or bool(version(package))
    except PackageNotFoundError:
        return False


def component_type(kind: str, definition: StackDefinition) -> StackComponentType:
    """ZenML's word for a kind of component; StackError if it knows none such."""
    from zenml.enums import StackComponentType

    valid = StackComponentType.values()
    if kind not in valid:
        raise StackError(
            f"Stack {definition.name}: {kind!r} is not a component type.{did_you_mean(kind, valid)} "
            f"There are: {', '.join(sorted(valid))}."
        )
    return StackComponentType(kind)


def own_flavor(kind: str, name: str) -> OwnFlavor | None:
    """Our own flavor of this name, if it is one of ours."""
    return next((own for own in FLAVORS if (own.type, own.name) == (kind, name)), None)


def find_flavor(client: Client, kind: StackComponentType, name: str, where: str) -> Flavor:
    """Return the flavor of this name; one of ours needs not be registered yet.

    Raises
    ------
        StackError: there is none.
    """
    from zenml.stack import Flavor

    ours = own_flavor(kind.value, name)
    if ours is not None:
        return _own_flavor(ours)
    registered = _registered(client, kind, name)
    if registered is None:
        valid = sorted(item.name for item in client.list_flavors(type=kind, size=500).items)
        raise StackError(
            f"{where}: there is no flavor {name!r}.{did_you_mean(name, valid)} There are: {', '.join(valid)}."
        )
    return Flavor.from_model(registered)


def _own_flavor(own: OwnFlavor) -> Flavor:
    from zenml.enums import StackComponentType
    from zenml.stack.flavor import validate_flavor_source

    kind = StackComponentType(own.type)
    return validate_flavor_source(own.source, kind, validate_component_classes=False)[1]


def _registered(client: Client, kind: StackComponentType, name: str) -> FlavorResponse | None:
    flavors = client.list_flavors(type=kind, name=name, hydrate=True).items
    return flavors[0] if flavors else None


def valid_config(flavor: Flavor, config: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the configuration as ZenML would store it. Raises StackError naming the nearest valid key."""
    config_class = flavor.config_class
    for key in config:
        if key not in config_class.model_fields:
            valid = sorted(config_class.model_fields)
            raise StackError(
                f"{where}: {key!r} is not a setting of flavor {flavor.name!r}.{did_you_mean(key, valid)} "
                f"There are: {', '.join(valid) or 'none'}."
            )
    try:
        return config_class(**config).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        raise StackError(f"{where}: the configuration is not valid: {faults_of(error)}.") from error


def faults_of(error: ValidationError) -> str:
    """Say what is wrong with which setting. Not their values, which may be secrets."""
    faults = (
        (".".join(map(str, mistake["loc"])), mistake["msg"])
        for mistake in error.errors(include_url=False, include_input=False)
    )
    return "; ".join(f"{key}: {fault}" if key else fault for key, fault in faults)


def require_integration(flavor: Flavor, where: str, config: Mapping[str, Any] | None = None) -> None:
    """Fail now, not in the middle of a pipeline, when what the component wraps is not installed.

    Parameters
    ----------
    config : the settings, of which it may depend what is needed; None: they are not known.
    """
    try:
        flavor.implementation_class  # noqa: B018  (a property that imports)
        for package in _packages(flavor, config):
            if not is_installed(package):
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    except ImportError as error:
        raise StackError(
            f"{where}: flavor {flavor.name!r} needs a package that is not installed ({error}). "
            + REMEDIES.get(flavor.name, f"Install what ZenML's integration for {flavor.name} asks for.")
        ) from error


def _packages(flavor: Flavor, config: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return what must be installed for these settings, as a flavor of ours may say."""
    packages = getattr(flavor.config_class, "packages", None)
    return () if packages is None or config is None else tuple(packages(config))
