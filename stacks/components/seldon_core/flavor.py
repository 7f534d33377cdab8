"""The `seldon_core` model deployer flavor: its settings, and where its implementation is."""

from __future__ import annotations

from zenml.model_deployers.base_model_deployer import (
    BaseModelDeployer,
    BaseModelDeployerConfig,
    BaseModelDeployerFlavor,
)

from stacks.components.seldon_core.settings import SeldonCoreSettings


class SeldonCoreDeployerConfig(BaseModelDeployerConfig, SeldonCoreSettings):
    """The settings of what serves, as ZenML's component takes them."""

    @property
    def is_remote(self) -> bool:
        """It serves in a cluster."""
        return True


class SeldonCoreDeployerFlavor(BaseModelDeployerFlavor):
    """Our MLServer on Kubernetes, under Seldon Core, KServe or nothing but Kubernetes.

    ZenML has a flavor `seldon` (Seldon Core v1, one predictor, the v1 protocol), so ours has another name.
    """

    @property
    def name(self) -> str:
        """The name a stack file uses."""
        return "seldon_core"

    @property
    def display_name(self) -> str:
        """The name the dashboard shows."""
        return "MLServer on Kubernetes (Seldon Core, KServe, Deployment)"

    @property
    def config_class(self) -> type[SeldonCoreDeployerConfig]:
        """Settings of the component."""
        return SeldonCoreDeployerConfig

    @property
    def implementation_class(self) -> type[BaseModelDeployer]:
        """The deployer; it needs the client of Kubernetes."""
        import kubernetes.client  # noqa: F401  (missing: the stack's check says how it is installed)

        from stacks.components.seldon_core.deployer import SeldonCoreDeployer

        return SeldonCoreDeployer
