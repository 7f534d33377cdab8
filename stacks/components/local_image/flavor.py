"""The `local_image` orchestrator flavor: its settings, and where its implementation is."""

from __future__ import annotations

from pydantic import Field
from zenml.orchestrators import BaseOrchestrator, BaseOrchestratorConfig, BaseOrchestratorFlavor


class LocalImageConfig(BaseOrchestratorConfig):
    """Which image, and what a container of it may take."""

    image: str = Field(
        default="road-accidents/pipelines:{version}", description="Image with the project's code in /app."
    )
    memory: str = Field(default="4g", description="What a step may take of it; it has no swap.")
    network: str = Field(
        default="host", description="Docker's network mode; with host, 127.0.0.1 is this machine."
    )
    data_remote: str = Field(
        default="{store}/data-remote", description="DVC remote by which raw files reach the steps."
    )

    @property
    def is_local(self) -> bool:
        """Steps run on this machine."""
        return True

    @property
    def is_synchronous(self) -> bool:
        """A run is over when it has been started."""
        return True


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
