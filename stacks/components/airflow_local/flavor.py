"""The `airflow_local` orchestrator flavor: its settings, and where its implementation is."""

from __future__ import annotations

from pydantic import Field
from zenml.orchestrators import BaseOrchestrator, BaseOrchestratorConfig, BaseOrchestratorFlavor


class AirflowLocalConfig(BaseOrchestratorConfig):
    """Which Airflow, and where it looks for DAGs."""

    address: str = Field(
        default="http://127.0.0.1:8080",
        description="Address of Airflow's API server, as it is seen from here.",
    )
    dags_folder: str = Field(
        default="{root}/.airflow/pipelines", description="A folder of DAGs that this Airflow reads."
    )
    begins_within: int = Field(
        default=300,
        gt=0,
        description="Seconds until Airflow must have begun with a run; else it is given up.",
    )

    @property
    def local(self) -> bool:
        """Whether ZenML is to have containers mount this machine's stores: there are no containers."""
        return False

    @property
    def is_local(self) -> bool:
        """Steps run on this machine, in this project's folder."""
        return True

    @property
    def is_schedulable(self) -> bool:
        """Airflow starts a run when the configuration's `schedule` says."""
        return True


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
