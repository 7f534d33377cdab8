"""A component as a stack file wants it: what can be wrong with it is found out, and nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stacks.definition import StackDefinition
from stacks.errors import StackError
from stacks.flavors import component_type, find_flavor, own_flavor, require_integration, valid_config
from stacks.secrets import refuse_in_clear, secret_name, set_apart

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.models import ComponentResponse
    from zenml.stack import Flavor


@dataclass(frozen=True)
class WantedComponent:
    """What ZenML is to have of a component.

    Attributes
    ----------
    config : the settings, with references in place of secrets.
    secrets : what those refer to.
    where : how messages name it.
    """

    type: StackComponentType
    name: str
    flavor: Flavor
    config: dict[str, Any]
    secrets: dict[str, str] = field(repr=False)
    where: str

    def check_against(self, known: ComponentResponse | None) -> None:
        """Raise StackError if it cannot be made, or what ZenML has of this name cannot become it."""
        if known is None:
            require_integration(self.flavor, self.where, self.config)
        elif known.flavor_name != self.flavor.name:
            raise StackError(
                f"{self.where}: ZenML has a {self.type.value} {self.name!r} already, of flavor "
                f"{known.flavor_name!r} and not {self.flavor.name!r}. Give it another `name:`."
            )


def wanted_component(client: Client, definition: StackDefinition, kind: str) -> WantedComponent:
    """Return the component of this kind. Raises StackError naming what is wrong with it, and what to do."""
    where = f"component {kind} of stack {definition.name}"
    type_, name = component_type(kind, definition), definition.component_name(kind)
    flavor = find_flavor(client, type_, definition.components[kind].flavor, where)
    # Our own flavors fill in the folders where they are used: on a shared server that is many machines.
    ours = own_flavor(kind, flavor.name) is not None
    written, filled = definition.components[kind].config, definition.settings(kind, here=not ours)
    config = valid_config(flavor, filled, where)
    refuse_in_clear(flavor.config_class, written, config, where)  # as kept: ZenML takes JSON for a mapping
    config, secrets = set_apart(flavor.config_class, written, config, secret_name(kind, name))
    return WantedComponent(type_, name, flavor, config, secrets, where)
