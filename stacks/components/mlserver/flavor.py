"""The `mlserver` model deployer flavor: where its settings and its implementation are."""

from __future__ import annotations

from zenml.model_deployers.base_model_deployer import BaseModelDeployer, BaseModelDeployerFlavor

from stacks.components.mlserver.config import MLServerDeployerConfig


class MLServerDeployerFlavor(BaseModelDeployerFlavor):
    """MLServer on this machine, in an environment or a container of its own."""

    @property
    def name(self) -> str:
        """The name a stack file uses."""
        return "mlserver"

    @property
    def display_name(self) -> str:
        """The name the dashboard shows."""
        return "MLServer (this machine)"

    @property
    def config_class(self) -> type[MLServerDeployerConfig]:
        """Settings of the component."""
        return MLServerDeployerConfig

    @property
    def implementation_class(self) -> type[BaseModelDeployer]:
        """The deployer."""
        from stacks.components.mlserver.deployer import MLServerDeployer

        return MLServerDeployer
