"""The `seldon_core` model deployer flavor: its settings, and where its implementation is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zenml.model_deployers.base_model_deployer import (
    BaseModelDeployer,
    BaseModelDeployerConfig,
    BaseModelDeployerFlavor,
)

from stacks.components.seldon_core.settings import MICROSERVICE, SeldonCoreSettings


class SeldonCoreDeployerConfig(BaseModelDeployerConfig, SeldonCoreSettings):
    """The settings of what serves, as ZenML's component takes them."""

    @property
    def is_remote(self) -> bool:
        """Whether it serves in a cluster."""
        return self.runtime != MICROSERVICE

    @property
    def is_local(self) -> bool:
        """Whether it serves on this machine."""
        return self.runtime == MICROSERVICE

    @staticmethod
    def packages(config: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what must be installed for a configuration, beside what training needs."""
        return () if config.get("runtime") == MICROSERVICE else ("kubernetes",)


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
