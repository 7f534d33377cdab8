"""Model servers that a stack's deployer has started, whatever its flavor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zenml.model_deployers import BaseModelDeployer


def services(deployer: BaseModelDeployer) -> list[Any]:
    """The deployer's services, newest first; ZenML's own deployers also return those of other flavors."""
    return [one for one in deployer.find_model_server() if one.SERVICE_TYPE.flavor == deployer.flavor]
