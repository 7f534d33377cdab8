"""The `seldon_core` model deployer flavor: where its settings and its implementation are."""

from __future__ import annotations

from zenml.model_deployers.base_model_deployer import BaseModelDeployer, BaseModelDeployerFlavor

from stacks.components.seldon_core.config import SeldonCoreDeployerConfig


class SeldonCoreDeployerFlavor(BaseModelDeployerFlavor):
    """Our MLServer on Kubernetes, under Seldon Core, KServe or nothing else; or Seldon's own server here.

    ZenML has a flavor `seldon` (Seldon Core v1, one predictor, the v1 protocol), so ours has another name.
    """

    @property
    def name(self) -> str:
        """The name a stack file uses."""
        return "seldon_core"

    @property
    def display_name(self) -> str:
        """The name the dashboard shows."""
        return "Seldon Core, KServe, Deployment on Kubernetes, or Seldon's server on this machine"

    @property
    def config_class(self) -> type[SeldonCoreDeployerConfig]:
        """Settings of the component."""
        return SeldonCoreDeployerConfig

    @property
    def implementation_class(self) -> type[BaseModelDeployer]:
        """The deployer."""
        from stacks.components.seldon_core.deployer import SeldonCoreDeployer

        return SeldonCoreDeployer
