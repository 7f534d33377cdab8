"""Apply a stack file to ZenML's store: create what is missing, update what differs, leave the rest alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stacks.component_removal import needed_by, remove_component, served_with
from stacks.component_validation import WantedComponent, wanted_component
from stacks.connectors import OF_STACK, apply_connector
from stacks.definition import STACKS_FOLDER, StackDefinition, read_stack
from stacks.flavors import register_flavors
from stacks.secrets import has_secrets, keep, secret_name
from stacks.state import LABEL, file_digest, overlooked, refuse_unless_applied
from stacks.wanted_connector import wanted_connector
from stacks.zenml_store import find_components, find_stack, is_embedded, opened_store

if TYPE_CHECKING:
    from uuid import UUID

    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.models import ComponentResponse, StackResponse


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
    at once on this machine wait for one another; what one that was broken off has left is removed.

    Raises
    ------
    StackError
        No such stack, a file that is not valid, an integration that is not installed, or a store
        that cannot be written.
    """
    definition = read_stack(name, folder)
    with opened_store() as client:
        _keep_telemetry_off()
        stack, changes = _make(client, definition, file_digest(name, folder), clear=True)
        if activate:
            changes += _activate(client, stack, bool(changes))
        elif changes and client.active_stack_model.id == stack.id:
            client.activate_stack(stack.id)
        active = client.active_stack_model.id == stack.id
    components = {
        kind: f"{definition.component_name(kind)} ({component.flavor})"
        for kind, component in definition.components.items()
    }
    return StackSummary(name, components, tuple(changes), active)


def use_stack(name: str, folder: Path = STACKS_FOLDER) -> list[str]:
    """Activate a stack for the run that follows; on the embedded store it is applied before.

    Returns the variables set here that a shared store does not follow: see `overlooked`.

    Raises
    ------
        StackError: as `apply_stack`; on a shared store also if the stack was not applied, or its file has
            changed since: others run on it, so that only `stack apply` changes it.
    """
    definition = read_stack(name, folder)
    with opened_store() as client:
        _keep_telemetry_off()
        if is_embedded(client):
            stack, changes = _make(client, definition, file_digest(name, folder))
            _activate(client, stack, bool(changes))
            return []
        stack = refuse_unless_applied(client, name, folder)
        _activate(client, stack, False)
        return overlooked(stack, name, folder)


def _make(
    client: Client, definition: StackDefinition, digest: str, clear: bool = False
) -> tuple[StackResponse, list[str]]:
    """Have the flavors, the components and the stack as the file says; return the stack, and what changed.

    All that can be wrong with the file is found out before anything is changed.

    Parameters
    ----------
    clear : whether what is left over is looked for also where the stack is as it was.
    """
    wanted = [wanted_component(client, definition, kind) for kind in definition.components]
    connector = wanted_connector(client, definition)
    known = find_components(client, (component.name for component in wanted))
    for component in wanted:
        component.check_against(known.get((component.type, component.name)))
    changes = register_flavors(client)
    made = [_apply_component(client, definition.name, component, known, changes) for component in wanted]
    changes += apply_connector(client, definition.name, connector, made)
    ids = {component.type: component.id for component in made}
    before = find_stack(client, definition.name)
    stack = _apply_stack(client, before, definition, digest, ids, changes)
    if clear or stack is not before:
        changes += _clear_away(client, stack, before, set(ids.values()))
    return stack, changes


def _activate(client: Client, stack: StackResponse, changed: bool) -> list[str]:
    """Make it the active stack; what that changed."""
    # It would win over what is activated here, for this process and its children.
    os.environ.pop("ZENML_ACTIVE_STACK_ID", None)
    active = client.active_stack_model.id == stack.id
    if changed or not active:
        # Also when it was active: the client keeps the active stack's components as it first saw them.
        client.activate_stack(stack.id)
    return [] if active else [f"activated stack {stack.name}"]


def _keep_telemetry_off() -> None:
    """Write it into the store's configuration too, for whoever calls `zenml` without our environment."""
    from zenml.config.global_config import GlobalConfiguration

    configuration = GlobalConfiguration()
    # The attribute itself is the environment's word; what is in the file is in `__dict__`.
    if configuration.__dict__["analytics_opt_in"] and not configuration.analytics_opt_in:
        configuration.analytics_opt_in = False


def _apply_component(
    client: Client,
    stack: str,
    wanted: WantedComponent,
    components: Mapping[tuple[StackComponentType, str], ComponentResponse],
    changes: list[str],
) -> ComponentResponse:
    """Create one component of a stack, or update it if it is among `components`; its secrets before it.

    What was done is added to `changes`.
    """
    kind, name, config = wanted.type.value, wanted.name, wanted.config
    if has_secrets(wanted.flavor.config_class):
        changes += keep(client, secret_name(kind, name), wanted.secrets)
    known = components.get((wanted.type, name))
    if known is None:
        known = client.create_stack_component(
            name=name,
            flavor=wanted.flavor.name,
            component_type=wanted.type,
            configuration=config,
            labels={OF_STACK: stack},
        )
        changes.append(f"created {kind} {name}")
    elif known.configuration != config:
        # ZenML merges: a key that is to go must be set to None.
        removed: dict[str, Any] = dict.fromkeys(known.configuration)
        client.update_stack_component(known.id, wanted.type, configuration={**removed, **config})
        changes.append(f"updated {kind} {name}: {_differences(known.configuration, config)}")
    return known


def _apply_stack(
    client: Client,
    stack: StackResponse | None,
    definition: StackDefinition,
    digest: str,
    ids: Mapping[StackComponentType, UUID],
    changes: list[str],
) -> StackResponse:
    """Create the stack, or give it exactly these components, and keep the digest of its file with it.

    Parameters
    ----------
    stack : as the store has it; returned itself where it is so already.
    """
    from zenml.models import StackRequest, StackUpdate

    wanted = {kind: [component] for kind, component in ids.items()}
    if stack is None:
        request = StackRequest(
            name=definition.name,
            description=definition.description,
            components={kind: list(components) for kind, components in wanted.items()},
            labels={LABEL: digest},
        )
        changes.append(f"created stack {definition.name}")
        return client.zen_store.create_stack(request)
    labels = {**(stack.labels or {}), LABEL: digest}
    now = {kind: [item.id for item in items] for kind, items in stack.components.items()}
    same = (now, stack.description) == (wanted, definition.description)
    if same and stack.labels == labels:
        return stack
    if not same:
        changes.append(f"updated stack {definition.name}")
    update = StackUpdate(components=wanted, description=definition.description, labels=labels)
    return client.zen_store.update_stack(stack.id, update)


def _clear_away(
    client: Client, stack: StackResponse, before: StackResponse | None, now: Set[UUID]
) -> list[str]:
    """Remove what a stack had `before`, and what is of none, unless it has it `now`; what was done.

    What must stay is told as it leaves the stack, and no more after that.
    """
    had = [component for items in before.components.values() for component in items] if before else []
    gone = [component for component in had if component.id not in now]
    changes = [line for component in gone for line in _left(client, stack, component)]
    for component in _of_none(client, stack.name, now):
        if not _why_kept(client, stack, component):
            changes += remove_component(client, component)
    return changes


def _of_none(client: Client, stack: str, now: Set[UUID]) -> list[ComponentResponse]:
    """Return components that were made for a stack and are of none: an apply was broken off, or kept them.

    By the label alone: one of such a name, and of no stack, may be anybody's.
    """
    every = client.list_stack_components(size=1_000, hydrate=True).items  # ZenML does not look for labels
    ours = [
        component
        for component in every
        if component.id not in now and (component.labels or {}).get(OF_STACK) == stack
    ]
    return [component for component in ours if not client.list_stacks(component_id=component.id).total]


def _left(client: Client, stack: StackResponse, component: ComponentResponse) -> list[str]:
    """Remove a component that a stack has no more, but for one that must stay; what was done."""
    if why := _why_kept(client, stack, component):
        return [f"kept {component.type.value} {component.name}: {why}"]
    return remove_component(client, component)


def _why_kept(client: Client, stack: StackResponse, component: ComponentResponse) -> str | None:
    """Why a component that a stack has no more must stay; None if it may go."""
    from zenml.enums import StackComponentType

    why = needed_by(client, stack, component)
    if component.type is StackComponentType.MODEL_DEPLOYER and not why:
        serving = ", ".join(served_with(client, component.flavor_name))
        why = f"it may serve still: {serving}" if serving else None
    return why


def _differences(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return the keys that differ. Not their values, which may be secrets."""
    return ", ".join(sorted(key for key in {*before, *after} if before.get(key) != after.get(key)))
