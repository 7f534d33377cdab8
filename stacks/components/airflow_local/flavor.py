"""The `airflow_local` orchestrator flavor: where its settings and its implementation are."""

from __future__ import annotations

from zenml.orchestrators import BaseOrchestrator, BaseOrchestratorConfig, BaseOrchestratorFlavor

from stacks.components.airflow_local.config import AirflowLocalConfig


class AirflowLocalFlavor(BaseOrchestratorFlavor):
    """ZenML's airflow, but that a step is a process with the project's own Python, not a container."""

    @property
    def name(self) -> str:
        """The name a stack file uses."""
        return "airflow_local"

    @property
    def display_name(self) -> str:
        """The name the dashboard shows."""
        return "Airflow (this machine)"

    @property
    def config_class(self) -> type[BaseOrchestratorConfig]:
        """Settings of the component."""
        return AirflowLocalConfig

    @property
    def implementation_class(self) -> type[BaseOrchestrator]:
        """The orchestrator."""
        from stacks.components.airflow_local.orchestrator import AirflowLocalOrchestrator

        return AirflowLocalOrchestrator
