"""The endpoints of a stack: the adapter of its model deployer. A new one is a line in `_ADAPTERS`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from stacks.definition import read_stack, stack_names
from stacks.endpoints.bentoml import BentoMLEndpoints
from stacks.endpoints.component import Component
from stacks.endpoints.mlflow import MLflowEndpoints
from stacks.endpoints.mlserver import MLServerEndpoints
from stacks.endpoints.protocol import DeploymentError, Endpoint, Endpoints
from stacks.endpoints.seldon_core import SeldonCoreEndpoints
from stacks.errors import NotAppliedError, StackError
from stacks.state import applied_stack
from stacks.zenml_database import serving_flavors
from stacks.zenml_store import opened_store

if TYPE_CHECKING:
    from zenml.model_deployers import BaseModelDeployer

DEPLOYER = "model_deployer"  # the kind of component
_ADAPTERS: Mapping[str, Callable[[Component], Endpoints]] = {
    MLServerEndpoints.flavor: MLServerEndpoints,
    MLflowEndpoints.flavor: MLflowEndpoints,
    BentoMLEndpoints.flavor: BentoMLEndpoints,
    SeldonCoreEndpoints.flavor: SeldonCoreEndpoints,
}


def endpoints_with(component: Component) -> Endpoints:
    """Return the endpoints of a model deployer.

    Raises DeploymentError if there is no adapter for its flavor.
    """
    adapter = _ADAPTERS.get(component.flavor)
    if adapter is None:
        raise DeploymentError(
            f"stacks/endpoints/ has no adapter for model deployers of flavor {component.flavor!r}; it has "
            f"them for {', '.join(_ADAPTERS)}. docs/add_a_stack.md says how one is added."
        )
    return adapter(component)


def endpoints_of(deployer: BaseModelDeployer) -> Endpoints:
    """Return the endpoints of a model deployer of ZenML's. Raises DeploymentError as `endpoints_with`."""
    return endpoints_with(Component(deployer.flavor, deployer.config.model_dump(), lambda: deployer))


def endpoints_on(stack: str) -> Endpoints | None:
    """Those of a stack by its file; None if it has no model deployer.

    The stack is activated, which imports ZenML, only for an adapter that asks for ZenML's deployer.
    """
    definition = read_stack(stack)
    deployer = definition.components.get(DEPLOYER)
    if deployer is None:
        return None
    settings = definition.settings(DEPLOYER)
    return endpoints_with(Component(deployer.flavor, settings, lambda: _deployer_on(stack)))


def other_endpoints(stack: str) -> dict[str, Endpoints]:
    """Those of the other stacks that may still serve, by stack; of stacks with one deployer the first.

    Stacks that nobody has applied serve nothing, nor does one whose settings cannot be read here, such as for
    want of a password.
    """
    flavors, others = serving_flavors(), [name for name in stack_names() if name != stack]
    if flavors is None:
        applied = _applied_stacks()
        others = [name for name in others if name in applied]
    return _each_once(others, flavors, but=_deployer_of(stack))


def every_endpoints(stack: str) -> dict[str, Endpoints]:
    """Those of this stack and of all others that may serve, by stack, for who is to stop them.

    Those of applied stacks first, for these can be stopped. What others serve in a folder here was deployed
    through another store; where only ZenML knows what, asking raises NotAppliedError. A stack whose settings
    cannot be read here is not among them: see `applied_endpoints`.
    """
    flavors = serving_flavors()
    applied = set[str]() if flavors == set() else _applied_stacks()  # nothing serves: no ZenML
    names = sorted(stack_names(), key=lambda name: (name not in applied, name != stack))
    deployer = _deployer_of(stack)
    if flavors is None or deployer is None:
        return _each_once(names, flavors)
    endpoints = _each_once(names, {*flavors, deployer[0]})
    if stack in endpoints and stack not in applied and (own := endpoints_on(stack)):
        endpoints[stack] = own  # on a store of this machine the stack is applied where that is needed
    return endpoints


def applied_endpoints(stack: str) -> Endpoints:
    """Those of a stack as it was applied, whatever its file would need here.

    Raises NotAppliedError if it was not, or had no model deployer; DeploymentError as `endpoints_with`.
    """
    return endpoints_of(_applied_deployer(stack))


def _each_once(
    stacks: Iterable[str], flavors: Collection[str] | None, but: tuple[str, Mapping[str, Any]] | None = None
) -> dict[str, Endpoints]:
    """Those of stacks whose model deployer is of one of the flavors; each deployer once, without `but`."""
    endpoints, seen = dict[str, Endpoints](), [but]
    for name in stacks:
        deployer = _deployer_of(name)
        if deployer is None or deployer in seen:
            continue
        seen.append(deployer)
        flavor, settings = deployer
        if flavor in _ADAPTERS and (flavors is None or flavor in flavors):
            endpoints[name] = endpoints_with(Component(flavor, settings, partial(_applied_deployer, name)))
    return endpoints


def _applied_stacks() -> set[str]:
    """Names of the stacks in ZenML's store."""
    with opened_store() as client:
        return {stack.name for stack in client.list_stacks(size=1_000).items}


def _deployer_of(stack: str) -> tuple[str, Mapping[str, Any]] | None:
    """Flavor and settings of a stack's model deployer, by its file; what is left empty says nothing."""
    try:
        definition = read_stack(stack)
        deployer = definition.components.get(DEPLOYER)
        if deployer is None:
            return None
        settings = definition.settings(DEPLOYER)
        return deployer.flavor, {name: value for name, value in settings.items() if value != ""}
    except StackError:
        return None


def _applied_deployer(stack: str) -> BaseModelDeployer:
    """Make that of a stack that is not the active one, as applied. Raises NotAppliedError."""
    from zenml.enums import StackComponentType
    from zenml.stack import StackComponent

    with opened_store() as client:
        components = applied_stack(client, stack).components.get(StackComponentType.MODEL_DEPLOYER)
    if not components:
        raise NotAppliedError(f"Stack {stack} was applied when it had no model deployer.")
    return cast("BaseModelDeployer", StackComponent.from_model(components[0]))


def _deployer_on(stack: str) -> BaseModelDeployer:
    from stacks.apply import use_stack

    use_stack(stack)
    return cast("BaseModelDeployer", _active_deployer())


def find_endpoints() -> Endpoints | None:
    """Those of the active stack; None if it has no model deployer. Its other components are not made."""
    deployer = _active_deployer()
    return endpoints_of(deployer) if deployer else None


def _active_deployer() -> BaseModelDeployer | None:
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.model_deployers import BaseModelDeployer
    from zenml.stack import StackComponent

    deployers = Client().active_stack_model.components.get(StackComponentType.MODEL_DEPLOYER)
    return cast(BaseModelDeployer, StackComponent.from_model(deployers[0])) if deployers else None


def active_endpoints() -> Endpoints:
    """Those of the active stack. Raises DeploymentError if it has no model deployer."""
    from zenml.client import Client

    endpoints = find_endpoints()
    if endpoints is None:
        raise DeploymentError(
            f"Stack {Client().active_stack_model.name} has no model deployer. "
            "Add one to its file in stacks/, or choose a stack that has one: --stack local."
        )
    return endpoints


def deployed_endpoint(name: str) -> Endpoint | None:
    """Where a model is deployed on the active stack, running or not; None if it is not."""
    endpoints = find_endpoints()
    return endpoints.endpoint(name) if endpoints and name in endpoints.names() else None
