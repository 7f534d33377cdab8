"""Apply a stack file to ZenML's store: create what is missing, update what differs, leave the rest alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from stacks.components import FLAVORS
from stacks.definition import STACKS_FOLDER, StackDefinition, nearest, read_stack
from stacks.environment import store_folder
from stacks.errors import StackError

if TYPE_CHECKING:
    from uuid import UUID

    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.models import ComponentResponse, FlavorResponse, StackResponse

LOCK_SECONDS = 120


@dataclass(frozen=True)
class StackSummary:
    """What a stack is now, and what applying it changed (nothing, the second time)."""

    name: str
    components: dict[str, str]  # type -> "name (flavor)"
    changes: tuple[str, ...]
    active: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.name,
            "components": self.components,
            "changes": list(self.changes),
            "active": self.active,
        }


def apply_stack(name: str, activate: bool = True, folder: Path = STACKS_FOLDER) -> StackSummary:
    """Make ZenML's store agree with `<folder>/<name>.yaml`; call `prepare_environment` first.

    Components changed by hand are put back as the file has them, and `changes` says so. Processes that apply
    at once wait for one another.

    Raises
    ------
    StackError
        No such stack, a file that is not valid, an integration that is not installed, or a store
        that cannot be written.
    """
    definition = read_stack(name, folder)
    with _store_lock():
        from zenml.client import Client

        client = Client()
        _keep_telemetry_off()
        changes = _apply_flavors(client)
        ids = {kind: _apply_component(client, definition, kind, changes) for kind in definition.components}
        stack = _apply_stack(client, definition, ids, changes)
        if activate:
            # It would win over what is activated here, for this process and its children.
            os.environ.pop("ZENML_ACTIVE_STACK_ID", None)
        active = client.active_stack_model.id == stack.id
        if (activate and not active) or (active and changes):
            # Also when it was active: the client keeps the active stack's components as it first saw them.
            client.activate_stack(stack.id)
        if activate and not active:
            changes.append(f"activated stack {name}")
    components = {
        kind: f"{definition.component_name(kind)} ({component.flavor})"
        for kind, component in definition.components.items()
    }
    return StackSummary(name, components, tuple(changes), active or activate)


@contextmanager
def _store_lock() -> Iterator[None]:
    """One process at a time: ZenML creates its database at first use and does not guard that itself."""
    folder = store_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "apply.lock", timeout=LOCK_SECONDS)
        lock.acquire()
    except Timeout:
        raise StackError(
            f"Another process has been applying a stack in {folder} for over {LOCK_SECONDS} s. "
            "Try again when it is done."
        ) from None
    except OSError as error:
        raise StackError(
            f"ZenML's store {folder} cannot be written: {error.strerror}. "
            "Make the folder writable, or set ZENML_CONFIG_PATH to one that is."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _keep_telemetry_off() -> None:
    """Write it into the store's configuration too, for whoever calls `zenml` without our environment."""
    from zenml.config.global_config import GlobalConfiguration

    configuration = GlobalConfiguration()
    # The attribute itself is the environment's word; what is in the file is in `__dict__`.
    if configuration.__dict__["analytics_opt_in"] and not configuration.analytics_opt_in:
        configuration.analytics_opt_in = False


def _apply_flavors(client: Client) -> list[str]:
    """Register our flavors; refresh those whose settings have changed since."""
    from zenml.enums import StackComponentType
    from zenml.models import FlavorUpdate
    from zenml.stack.flavor import validate_flavor_source

    changes = []
    for own in FLAVORS:
        kind = StackComponentType(own.type)
        known = _flavor(client, kind, own.name)
        if known is None:
            client.create_flavor(own.source, kind)
            changes.append(f"registered flavor {own.name}")
            continue
        _, flavor = validate_flavor_source(own.source, kind, validate_component_classes=False)
        if (known.source, known.config_schema) != (own.source, flavor.config_schema):
            update = FlavorUpdate(source=own.source, config_schema=flavor.config_schema)
            client.zen_store.update_flavor(known.id, update)
            changes.append(f"updated flavor {own.name}")
    return changes


def _apply_component(client: Client, definition: StackDefinition, kind: str, changes: list[str]) -> UUID:
    """Create or update one component, add to `changes` what was done, return its id."""
    wanted = definition.components[kind]
    name = definition.component_name(kind)
    where = f"component {kind} of stack {definition.name}"
    component_type = _component_type(kind, definition)
    flavor = _known_flavor(client, component_type, wanted.flavor, where)
    config = _valid_config(flavor, wanted.config, where)
    known = _component(client, component_type, name)
    if known is None:
        _require_integration(flavor, where)
        known = client.create_stack_component(
            name=name, flavor=wanted.flavor, component_type=component_type, configuration=config
        )
        changes.append(f"created {kind} {name}")
    elif known.flavor_name != wanted.flavor:
        raise StackError(
            f"{where}: ZenML has a {kind} {name!r} already, of flavor {known.flavor_name!r} and not "
            f"{wanted.flavor!r}. Give it another `name:`."
        )
    elif known.configuration != config:
        # ZenML merges: a key that is to go must be set to None.
        removed: dict[str, Any] = dict.fromkeys(known.configuration)
        client.update_stack_component(known.id, component_type, configuration={**removed, **config})
        changes.append(f"updated {kind} {name}: {_differences(known.configuration, config)}")
    return known.id


def _apply_stack(
    client: Client, definition: StackDefinition, ids: dict[str, UUID], changes: list[str]
) -> StackResponse:
    """Create the stack, or give it exactly these components."""
    from zenml.enums import StackComponentType
    from zenml.models import StackRequest, StackUpdate

    wanted = {StackComponentType(kind): [component] for kind, component in ids.items()}
    found = client.list_stacks(name=definition.name, hydrate=True).items
    if not found:
        request = StackRequest(
            name=definition.name,
            description=definition.description,
            components={kind: list(components) for kind, components in wanted.items()},
        )
        changes.append(f"created stack {definition.name}")
        return client.zen_store.create_stack(request)
    stack = found[0]
    now = {kind: [item.id for item in items] for kind, items in stack.components.items()}
    if (now, stack.description) == (wanted, definition.description):
        return stack
    update = StackUpdate(components=wanted, description=definition.description)
    changes.append(f"updated stack {definition.name}")
    return client.zen_store.update_stack(stack.id, update)


def _component_type(kind: str, definition: StackDefinition) -> StackComponentType:
    from zenml.enums import StackComponentType

    valid = StackComponentType.values()
    if kind not in valid:
        raise StackError(
            f"Stack {definition.name}: {kind!r} is not a component type.{nearest(kind, valid)} "
            f"There are: {', '.join(sorted(valid))}."
        )
    return StackComponentType(kind)


def _flavor(client: Client, kind: StackComponentType, name: str) -> FlavorResponse | None:
    found = client.list_flavors(type=kind, name=name, hydrate=True).items
    return found[0] if found else None


def _known_flavor(client: Client, kind: StackComponentType, name: str, where: str) -> FlavorResponse:
    flavor = _flavor(client, kind, name)
    if flavor is None:
        valid = sorted(item.name for item in client.list_flavors(type=kind, size=500).items)
        raise StackError(
            f"{where}: there is no flavor {name!r}.{nearest(name, valid)} There are: {', '.join(valid)}."
        )
    return flavor


def _component(client: Client, kind: StackComponentType, name: str) -> ComponentResponse | None:
    found = client.list_stack_components(type=kind, name=name, hydrate=True).items
    return found[0] if found else None


def _valid_config(flavor: FlavorResponse, config: dict[str, Any], where: str) -> dict[str, Any]:
    """The configuration as ZenML would store it, or an error that names the key and the nearest valid one."""
    from zenml.stack import Flavor

    config_class = Flavor.from_model(flavor).config_class
    for key in config:
        if key not in config_class.model_fields:
            valid = sorted(config_class.model_fields)
            raise StackError(
                f"{where}: {key!r} is not a setting of flavor {flavor.name!r}.{nearest(key, valid)} "
                f"There are: {', '.join(valid) or 'none'}."
            )
    try:
        return config_class(**config).model_dump(mode="json", exclude_unset=True)
    except ValueError as error:
        raise StackError(f"{where}: the configuration is not valid: {error}") from error


def _require_integration(flavor: FlavorResponse, where: str) -> None:
    """Fail now, not in the middle of a pipeline, when what the component wraps is not installed."""
    from zenml.stack import Flavor

    try:
        Flavor.from_model(flavor).implementation_class  # noqa: B018  (a property that imports)
    except ImportError as error:
        raise StackError(
            f"{where}: flavor {flavor.name!r} needs a package that is not installed ({error}). "
            f"Install what the {flavor.integration or flavor.name} integration asks for."
        ) from error


def _differences(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The keys that differ. Not their values, which may be secrets."""
    return ", ".join(sorted(key for key in {*before, *after} if before.get(key) != after.get(key)))
