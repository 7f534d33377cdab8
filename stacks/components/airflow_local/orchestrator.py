"""ZenML's `airflow` orchestrator, each step a process with the project's own Python: see docs/airflow.md.

A pipeline that steers what serves on this machine (`extra: {here: true}`) runs at once, without Airflow.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
import zipfile
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin

from zenml.enums import ExecutionMode
from zenml.integrations.airflow.flavors.airflow_orchestrator_flavor import AirflowOrchestratorSettings
from zenml.integrations.airflow.orchestrators import AirflowOrchestrator
from zenml.orchestrators import LocalOrchestrator, SubmissionResult

from stacks.components.airflow_local import dag, step_environments
from stacks.components.airflow_local.config import AirflowLocalConfig
from stacks.components.airflow_local.runs import remove_ended, wait_until_begun
from stacks.components.handed_on import handed_on
from stacks.environment import project_root
from stacks.errors import StackError
from stacks.placeholders import of_here

if TYPE_CHECKING:
    from zenml.config.build_configuration import BuildConfiguration
    from zenml.integrations.airflow.orchestrators.airflow_orchestrator import DagGeneratorValues
    from zenml.models import PipelineRunResponse, PipelineSnapshotBase, PipelineSnapshotResponse
    from zenml.stack import Stack, StackValidator

HERE = "here"  # in a pipeline's `extra`: it runs on this machine, at once
_PARTS = ("metadatabase", "scheduler", "dag_processor")  # of Airflow, that must be at work
_HEALTH = "/api/v2/monitor/health"
_START = "Start it beside this: make airflow."


class AirflowLocalOrchestrator(AirflowOrchestrator):
    """Hands each run to Airflow as a DAG of its own."""

    _orchestrator_run_id: str | None = None
    _written: Path  # the DAG of the run

    @property
    def config(self) -> AirflowLocalConfig:  # type: ignore[override]
        """Settings of the component."""
        return cast(AirflowLocalConfig, self._config)

    @property
    def folder(self) -> Path:
        """Where Airflow looks for DAGs."""
        return Path(of_here(self.config.dags_folder))

    @property
    def validator(self) -> StackValidator | None:
        """Neither an image builder nor a container registry is needed."""
        return None

    @property
    def supported_execution_modes(self) -> list[ExecutionMode]:
        """With a step that fails, what needs it is not run; Airflow may have begun with others."""
        return list(ExecutionMode)

    def get_docker_builds(self, snapshot: PipelineSnapshotBase) -> list[BuildConfiguration]:
        """None: steps run in the project's folder."""
        return []

    def get_image(  # type: ignore[override]
        self, snapshot: PipelineSnapshotResponse, step_name: str | None = None
    ) -> str:
        """None: see `get_docker_builds`."""
        return ""

    def get_settings(self, container: Any) -> AirflowOrchestratorSettings:
        """Tell what ZenML wants to know of a pipeline, and of each step."""
        return AirflowOrchestratorSettings(
            custom_dag_generator=dag.__name__,
            dag_output_dir=str(self.folder),
            dag_tags=["accidents", "zenml"],
            operator_args={"python": sys.executable, "folder": str(project_root())},
        )

    def get_orchestrator_run_id(self) -> str:
        """Of the run that goes on here, else of the one that Airflow began."""
        return self._orchestrator_run_id or os.environ[dag.ENV_ZENML_AIRFLOW_RUN_ID]

    def submit_pipeline(
        self,
        snapshot: PipelineSnapshotResponse,
        stack: Stack,
        base_environment: dict[str, str],
        step_environments: dict[str, dict[str, str]],
        placeholder_run: PipelineRunResponse | None = None,
    ) -> SubmissionResult | None:
        """Give Airflow the DAG, and wait until it has begun with it; a scheduled one is only given."""
        arguments = (snapshot, stack, base_environment, step_environments, placeholder_run)
        if snapshot.pipeline_configuration.extra.get(HERE):
            return LocalOrchestrator.submit_pipeline(cast(LocalOrchestrator, self), *arguments)
        self.reached()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        remove_ended(self.folder)
        super().submit_pipeline(*arguments)
        if placeholder_run is None:
            return None
        began = partial(
            wait_until_begun,
            placeholder_run.id,
            self._written,
            self.config.begins_within,
            self.config.address,
        )
        return SubmissionResult(wait_for_completion=began)

    def _write_dag(self, dag_config: Any, dag_generator_values: DagGeneratorValues, output_dir: str) -> None:
        """Write a DAG whole, and note where: Airflow and other commands look into the folder meanwhile.

        What its steps find in their environment is kept apart from it, and is there first: what ZenML gives
        them, and what they would have of this process on stack `local`, such as where the prediction log is.
        """
        self._written = Path(output_dir) / f"{dag_config.id}.zip"
        dag_config.environments = str(step_environments.environments_of(self._written))
        beside = self._written.with_suffix(".tmp")
        with zipfile.ZipFile(beside, mode="w") as archive:
            archive.write(dag_generator_values.file, arcname="dag.py")
            archive.writestr(dag_generator_values.config_file_name, dag_config.model_dump_json())
        # Of a schedule it would be for ever what it was once: its runs have Airflow's own.
        ours = handed_on() if dag_config.schedule == dag.ONCE else {}
        step_environments.keep(
            self._written, {task.id: {**ours, **task.environment} for task in dag_config.tasks}
        )
        beside.replace(self._written)

    def reached(self) -> str:
        """Return what answers, for `stack check`. Raises StackError if Airflow is not at work."""
        address = self.config.address
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(urljoin(address, _HEALTH), timeout=10) as answer:
                health = json.load(answer)
        except (OSError, HTTPException, ValueError) as error:
            why = getattr(error, "reason", error)
            raise StackError(f"No Airflow answers at {address} ({why}). {_START}") from error
        ill = [part for part in _PARTS if (health.get(part) or {}).get("status") != "healthy"]
        if ill:
            raise StackError(f"Airflow at {address} answers, but not at work: {', '.join(ill)}. {_START}")
        return f"Airflow at {address} is at work"
