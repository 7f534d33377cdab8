"""Service connectors in ZenML's store: made, put right, connected to their components, and taken away.

The cloud is not asked for any of it: what a login is worth, `stack check` and the runs find out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from stacks.errors import StackError
from stacks.secrets import close_to_others
from stacks.wanted_connector import WantedConnector

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.models import ComponentResponse, ServiceConnectorResponse

OF_STACK = "of-stack"  # label of what `stack apply` has made, with the name of the stack


def apply_connector(
    client: Client, stack: str, wanted: WantedConnector | None, components: Iterable[ComponentResponse]
) -> list[str]:
    """Have a stack's components log in as its file says; what that changed.

    Parameters
    ----------
    wanted : None where the file has no connector: then a component that somebody has connected is put back.
    components : of the stack, as ZenML has them.
    """
    changes, connector = _made(client, stack, wanted)
    for component in components:
        to = connector if wanted and component.type in wanted.connects else None
        changes += _connect(client, component, to)
    kept = {connector.id} if connector else set()
    for other in (existing for existing in connectors_of(client, stack) if existing.id not in kept):
        changes += _removed(client, other)
    return changes


def remove_connectors(client: Client, stack: str) -> list[str]:
    """Take the connectors of a stack away, but for one that a component still needs; what was done."""
    return [line for connector in connectors_of(client, stack) for line in _removed(client, connector)]


def connectors_of(client: Client, stack: str) -> list[ServiceConnectorResponse]:
    """Return those that were made for a stack."""
    return list(client.list_service_connectors(labels={OF_STACK: stack}, hydrate=True).items)


def _made(
    client: Client, stack: str, wanted: WantedConnector | None
) -> tuple[list[str], ServiceConnectorResponse | None]:
    """Return what that changed, and the connector."""
    if wanted is None:
        return [], None
    known = client.list_service_connectors(name=wanted.name, hydrate=True, expand_secrets=True).items
    try:
        return _put_right(client, wanted, known[0]) if known else _created(client, stack, wanted)
    except NotImplementedError as error:
        raise StackError(
            f"{wanted.where}: ZenML's server keeps no secrets (its ZENML_SECRETS_STORE_TYPE), and a "
            "connector needs them."
        ) from error


def _created(
    client: Client, stack: str, wanted: WantedConnector
) -> tuple[list[str], ServiceConnectorResponse]:
    made, _ = client.create_service_connector(
        name=wanted.name,
        connector_type=wanted.kind,
        auth_method=wanted.auth_method,
        configuration=wanted.config,
        labels={OF_STACK: stack},
        verify=False,
    )
    close_to_others(client)
    return [f"created connector {wanted.name}"], made  # type: ignore[return-value]


def _put_right(
    client: Client, wanted: WantedConnector, known: ServiceConnectorResponse
) -> tuple[list[str], ServiceConnectorResponse]:
    before, after = wanted.normal(known.configuration.plain), wanted.normal(wanted.config)
    differ = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    if not differ:
        return [], known
    client.update_service_connector(known.id, configuration=wanted.config, verify=False)
    return [f"updated connector {wanted.name}: {', '.join(differ)}"], known


def _connect(
    client: Client, component: ComponentResponse, connector: ServiceConnectorResponse | None
) -> list[str]:
    """Have a component log in by a connector, or by none; what that changed."""
    kind: StackComponentType = component.type
    now = component.connector.id if component.connector else None
    if now == (connector.id if connector else None):
        return []
    if connector is None:
        client.update_stack_component(component.id, kind, disconnect=True)
        return [f"disconnected {kind.value} {component.name}"]
    client.update_stack_component(component.id, kind, connector_id=connector.id)
    return [f"connected {kind.value} {component.name} by {connector.name}"]


def _removed(client: Client, connector: ServiceConnectorResponse) -> list[str]:
    components = client.list_stack_components(connector_id=connector.id, size=1_000).items
    if components:
        users = ", ".join(component.name for component in components)
        return [f"kept connector {connector.name}: {users} needs it"]
    client.delete_service_connector(connector.id)
    return [f"removed connector {connector.name}"]
