"""The settings of the `mlserver` model deployer."""

from __future__ import annotations

from zenml.model_deployers.base_model_deployer import BaseModelDeployerConfig

from stacks.components.mlserver.settings import ServerSettings


class MLServerDeployerConfig(BaseModelDeployerConfig, ServerSettings):
    """The settings of the server, as ZenML's component takes them."""

    @property
    def is_local(self) -> bool:
        """The server runs on this machine."""
        return True
