"""What is taken out of ZenML's store: a component that nothing needs any more, and its secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stacks.connectors import OF_STACK
from stacks.definition import stack_names
from stacks.secrets import forget, secret_name

if TYPE_CHECKING:
    from uuid import UUID

    from zenml.client import Client
    from zenml.models import ComponentResponse, StackResponse


def needed_by(client: Client, stack: StackResponse, component: ComponentResponse) -> str | None:
    """Why a component must stay, whatever becomes of this stack; None if it may go."""
    from zenml.enums import StackComponentType

    stacks = client.list_stacks(component_id=component.id).items
    others = sorted(other.name for other in stacks if other.id != stack.id)
    if others:
        return f"also of stack {', '.join(others)}"
    # Before there was the label, what `stack apply` had made was known by its name.
    named_by_apply = {f"{name}_{component.flavor_name}" for name in (stack.name, *stack_names())}
    if OF_STACK not in (component.labels or {}) and component.name not in named_by_apply:
        return "nothing says that `stack apply` made it"
    if component.type is StackComponentType.ARTIFACT_STORE:
        # ZenML would forget where they lie.
        artifacts = sum(
            client.list_artifact_versions(artifact_store_id=component.id, project=project, size=1).total
            for project in _projects(client)
        )
        return f"{artifacts:,} artifacts lie in it" if artifacts else None
    return None


def served_with(client: Client, flavor: str) -> Iterator[str]:
    """Yield what the store says is served by a deployer of this flavor, and who serves it.

    Of which stack it does not say, and another's machine, or that cluster, cannot be asked.
    """
    from zenml.enums import ServiceState

    for project in _projects(client):
        for service in client.list_services(flavor=flavor, project=project, hydrate=True, size=1_000).items:
            if service.admin_state is ServiceState.ACTIVE:
                who = service.user.name if service.user else "somebody"
                model, version = (service.config.get(name, "?") for name in ("model_name", "model_version"))
                yield f"{who} serves {model} version {version}"


def _projects(client: Client) -> list[UUID]:
    """Return ZenML's projects: components are of all of them, artifacts and services each of one."""
    return [project.id for project in client.list_projects(size=1_000).items]


def remove_component(client: Client, component: ComponentResponse) -> list[str]:
    """Remove a component that is of no stack; what was done."""
    client.delete_stack_component(component.id, component.type)
    done = f"removed {component.type.value} {component.name}"
    return [done, *forget(client, secret_name(component.type.value, component.name))]
