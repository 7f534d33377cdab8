"""The settings of the `local_image` orchestrator."""

from __future__ import annotations

from pydantic import Field
from zenml.orchestrators import BaseOrchestratorConfig


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
