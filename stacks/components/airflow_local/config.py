"""The settings of the `airflow_local` orchestrator."""

from __future__ import annotations

from pydantic import Field
from zenml.orchestrators import BaseOrchestratorConfig


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
