"""The settings of the `seldon_core` model deployer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zenml.model_deployers.base_model_deployer import BaseModelDeployerConfig

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
