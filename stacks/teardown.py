"""Take a stack out of ZenML's store again, with the components that nothing else needs; data stays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from stacks.component_removal import needed_by, remove_component, served_with
from stacks.connectors import remove_connectors
from stacks.definition import STACKS_FOLDER, stack_names
from stacks.endpoints import DeploymentError, Endpoints, State, endpoints_of
from stacks.errors import StackError
from stacks.state import LABEL
from stacks.zenml_store import find_stack, is_embedded, opened_store

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.models import ComponentResponse, StackResponse

DEFAULT = "default"  # ZenML's own stack


def teardown_stack(name: str, sure: bool = False, folder: Path = STACKS_FOLDER) -> list[str]:
    """Remove a stack, and those of its components that no other stack uses and no artifact lies in.

    Parameters
    ----------
    sure : whether it may be the active stack (ZenML's default stack is active then), or one that somebody
        else may be serving on.

    Returns
    -------
    What was removed and what was kept, a line each.

    Raises
    ------
    StackError
        If there is no such stack in the store, it is not of a stack file, it is active, or a model is being
        served on it.
    """
    with opened_store() as client:
        stack = _stack_of_a_file(client, name, folder)
        active = client.active_stack_model.id == stack.id
        if active and not sure:
            raise StackError(
                f"Stack {name} is active. With --yes it goes, and ZenML's stack {DEFAULT!r} is active then."
            )
        mine = {kind: components[0] for kind, components in stack.components.items()}
        kept = {kind: why for kind, component in mine.items() if (why := needed_by(client, stack, component))}
        # Nothing is changed before it is certain that the stack may go.
        _refuse_if_serving(client, stack, [mine[kind] for kind in mine if kind not in kept], sure)
        done = []
        if active:
            client.activate_stack(DEFAULT)
            done.append(f"activated stack {DEFAULT}")
        with warnings.catch_warnings():
            # ZenML's database has removed by itself what SQLAlchemy then finds missing.
            warnings.filterwarnings("ignore", message="DELETE statement on table 'stack_composition'")
            client.delete_stack(stack.id)
        done.append(f"removed stack {name}")
        for kind, component in mine.items():
            if kind in kept:
                done.append(f"kept {kind.value} {component.name}: {kept[kind]}")
            else:
                done += remove_component(client, component)
        done += remove_connectors(client, name)
    return done


def _stack_of_a_file(client: Client, name: str, folder: Path) -> StackResponse:
    stack = find_stack(client, name)
    if stack is None:
        raise StackError(
            f"Stack {name} is not in ZenML's store: there is nothing to tear down. Components of an "
            f"apply that was broken off may be there: python run.py stack apply {name}, then this again."
        )
    if LABEL not in (stack.labels or {}) and name not in stack_names(folder):
        raise StackError(
            f"Stack {name} was not made by `stack apply`. To remove it: zenml stack delete {name}"
        )
    return stack


def _refuse_if_serving(
    client: Client, stack: StackResponse, going: list[ComponentResponse], sure: bool
) -> None:
    """Raise StackError where a model server would be left without its deployer."""
    served: list[str] = []
    unseen: set[str] = set()  # flavors of deployers that may serve where this machine does not see it
    for flavor, endpoints in _deployers(going):
        if endpoints.on_this_machine:
            unseen.add(flavor)
        try:
            served += _serving(endpoints)
        except DeploymentError:  # a cluster that cannot be asked, or is gone, keeps no stack by itself
            unseen.add(flavor)
    if served:
        raise StackError(
            f"On stack {stack.name} {', '.join(served)} is being served. "
            f"Stop it first: python run.py stop --stack {stack.name}"
        )
    if sure or is_embedded(client):
        return
    elsewhere = [text for flavor in sorted(unseen) for text in served_with(client, flavor)]
    if elsewhere:
        raise StackError(
            f"By ZenML's store {', '.join(elsewhere)}, where this machine does not see it, and perhaps on "
            f"stack {stack.name}. Have it stopped there: python run.py stop --stack {stack.name}. "
            "With --yes the stack goes all the same."
        )


def _deployers(components: list[ComponentResponse]) -> Iterator[tuple[str, Endpoints]]:
    """Flavors of the deployers among the components, and what they serve."""
    from zenml.enums import StackComponentType
    from zenml.model_deployers import BaseModelDeployer
    from zenml.stack import StackComponent

    for component in components:
        if component.type is StackComponentType.MODEL_DEPLOYER:
            deployer = cast(BaseModelDeployer, StackComponent.from_model(component))
            with suppress(DeploymentError):  # without an adapter nothing was deployed from here
                yield deployer.flavor, endpoints_of(deployer)


def _serving(endpoints: Endpoints) -> Iterator[str]:
    for endpoint in map(endpoints.endpoint, endpoints.names()):
        if endpoint.state().state != State.stopped:
            numbers = " and ".join(version.version for version in endpoint.versions())
            yield f"{endpoint.name} version {numbers}"
