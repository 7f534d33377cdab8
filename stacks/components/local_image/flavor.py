"""The `local_image` orchestrator flavor: where its settings and its implementation are."""

from __future__ import annotations

from zenml.orchestrators import BaseOrchestrator, BaseOrchestratorConfig, BaseOrchestratorFlavor

from stacks.components.local_image.config import LocalImageConfig


class LocalImageFlavor(BaseOrchestratorFlavor):
    """ZenML's local_docker, but that nothing is built, installed or uploaded."""

    @property
    def name(self) -> str:
        """The name a stack file uses."""
        return "local_image"

    @property
    def display_name(self) -> str:
        """The name the dashboard shows."""
        return "Containers of our image (this machine)"

    @property
    def config_class(self) -> type[BaseOrchestratorConfig]:
        """Settings of the component."""
        return LocalImageConfig

    @property
    def implementation_class(self) -> type[BaseOrchestrator]:
        """The orchestrator."""
        from stacks.components.local_image.orchestrator import LocalImageOrchestrator

        return LocalImageOrchestrator
