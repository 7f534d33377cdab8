"""A service connector as a stack file wants it: what can be wrong is found out, and nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from stacks.definition import ConnectorDefinition, StackDefinition, did_you_mean
from stacks.errors import StackError
from stacks.flavors import REMEDIES, component_type, faults_of, find_flavor
from stacks.placeholders import fill
from stacks.secrets import looked_up, refuse_in_clear

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.models import ServiceConnectorTypeModel

TYPES = ("aws", "azure", "docker", "gcp", "kubernetes")  # that ZenML has without more than our locks


@dataclass(frozen=True)
class WantedConnector:
    """What ZenML is to have of a connector.

    Attributes
    ----------
    config : the settings, secrets among them: ZenML keeps those in a secret of its own.
    settings : the class that they are of.
    connects : the kinds of components that log in by it.
    """

    name: str
    kind: str
    auth_method: str
    config: dict[str, Any] = field(repr=False)
    settings: type[BaseModel]
    connects: tuple[StackComponentType, ...]
    where: str

    def normal(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return settings as they are compared, with what is left out."""
        return self.settings(**config).model_dump(mode="json", exclude_none=True)


def wanted_connector(client: Client, definition: StackDefinition) -> WantedConnector | None:
    """Return the connector of a stack file, None if it has none.

    Raises
    ------
    StackError
        What is wrong with it, and what to do. Nobody at the cloud is asked.
    """
    wanted = definition.connector
    if wanted is None:
        return None
    where = _where(definition)
    kind = require_connector(definition)
    settings = _settings_of(kind, wanted, where)
    connects = tuple(_connected(client, definition, component, kind, where) for component in wanted.connects)
    config = _config(client, settings, wanted, where)
    # ZenML changes neither type nor method of one that is in use: another of them is another connector.
    name = f"{definition.name}_{wanted.type}_{wanted.auth_method}"
    return WantedConnector(name, wanted.type, wanted.auth_method, config, settings, connects, where)


def require_connector(definition: StackDefinition) -> ServiceConnectorTypeModel:
    """Return what ZenML says of the stack's type of connector; StackError if it lacks packages for it."""
    from zenml.service_connectors.service_connector_registry import service_connector_registry

    assert definition.connector is not None
    name, where = definition.connector.type, _where(definition)
    if name not in TYPES:
        raise StackError(
            f"{where}: {name!r} is not a type of connector.{did_you_mean(name, TYPES)} "
            f"There are: {', '.join(TYPES)}."
        )
    try:
        return service_connector_registry.get_service_connector_type(name)
    except KeyError as error:
        raise StackError(
            f"{where}: type {name!r} needs a package that is not installed. "
            + REMEDIES.get(name, f"Install what ZenML's integration for {name} asks for.")
        ) from error


def _where(definition: StackDefinition) -> str:
    return f"connector of stack {definition.name}"


def _settings_of(kind: ServiceConnectorTypeModel, wanted: ConnectorDefinition, where: str) -> type[BaseModel]:
    """Return the class of the settings that a method of authentication takes."""
    methods = kind.auth_method_dict
    if wanted.auth_method not in methods:
        raise StackError(
            f"{where}: {wanted.auth_method!r} is not a method of type {wanted.type!r}."
            f"{did_you_mean(wanted.auth_method, methods)} There are: {', '.join(sorted(methods))}."
        )
    settings = methods[wanted.auth_method].config_class
    assert settings is not None
    return settings


def _connected(
    client: Client, definition: StackDefinition, kind: str, connector: ServiceConnectorTypeModel, where: str
) -> StackComponentType:
    """Return the component type of this name; StackError unless such a connector can log its component in."""
    if kind not in definition.components:
        raise StackError(
            f"{where}: the stack has no {kind!r} to connect.{did_you_mean(kind, definition.components)} "
            f"There are: {', '.join(definition.components)}."
        )
    type_ = component_type(kind, definition)
    flavor = find_flavor(client, type_, definition.components[kind].flavor, where)
    needs = flavor.service_connector_requirements
    fits = needs is not None and (
        needs.connector_type in (None, connector.connector_type)
        and needs.resource_type in connector.resource_type_dict
    )
    if not fits:
        raise StackError(
            f"{where}: a {kind} of flavor {flavor.name!r} takes no connector of type "
            f"{connector.connector_type!r}. Take it out of `connects`."
        )
    return type_


def _config(
    client: Client, settings: type[BaseModel], wanted: ConnectorDefinition, where: str
) -> dict[str, Any]:
    """Return the settings filled in; those that are empty then are left out."""
    for key in wanted.config:
        if key not in settings.model_fields:
            valid = sorted(settings.model_fields)
            raise StackError(
                f"{where}: {key!r} is not a setting of method {wanted.auth_method!r}."
                f"{did_you_mean(key, valid)} There are: {', '.join(valid)}."
            )
    filled = fill(wanted.config, where)
    refuse_in_clear(settings, wanted.config, filled, where)
    config = {key: looked_up(client, value, where) for key, value in filled.items() if value != ""}
    try:
        settings(**config)
    except ValidationError as error:
        raise StackError(f"{where}: the configuration is not valid: {faults_of(error)}.") from error
    return config
