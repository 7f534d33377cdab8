"""The `kubernetes_image` orchestrator flavor: where its settings and its implementation are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenml.integrations.kubernetes.flavors.kubernetes_orchestrator_flavor import (
    KubernetesOrchestratorConfig,
    KubernetesOrchestratorFlavor,
)

from stacks.components.kubernetes_image.config import KubernetesImageConfig

if TYPE_CHECKING:
    from zenml.integrations.kubernetes.orchestrators import KubernetesOrchestrator


class KubernetesImageFlavor(KubernetesOrchestratorFlavor):
    """ZenML's kubernetes, but that nothing is built or uploaded, and that a failing pod says why."""

    @property
    def name(self) -> str:
        """The name a stack file uses."""
        return "kubernetes_image"

    @property
    def display_name(self) -> str:
        """The name the dashboard shows."""
        return "Pods of our image (Kubernetes)"

    @property
    def config_class(self) -> type[KubernetesOrchestratorConfig]:
        """Settings of the component."""
        return KubernetesImageConfig

    @property
    def implementation_class(self) -> type[KubernetesOrchestrator]:
        """The orchestrator."""
        from stacks.components.kubernetes_image.orchestrator import KubernetesImageOrchestrator

        return KubernetesImageOrchestrator
