"""The model deployer of a stack, as an adapter gets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zenml.model_deployers import BaseModelDeployer


@dataclass(frozen=True)
class Component:
    """What a stack says of its model deployer, known without ZenML; and ZenML's own object, made when asked.

    Attributes
    ----------
    settings : as in the stack file, or in ZenML's store.
    deployer : makes ZenML's model deployer, which imports ZenML.
    """

    flavor: str
    settings: Mapping[str, Any]
    deployer: Callable[[], BaseModelDeployer]
