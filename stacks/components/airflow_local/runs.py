"""Airflow's runs: told to ZenML as failed where their processes were lost, and cleared away at their end."""

from __future__ import annotations

import json
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.orchestrators.publish_utils import publish_step_run_status_update
from zenml.utils.exception_utils import collect_exception_information

from stacks.components.airflow_local import step_environments
from stacks.components.airflow_local.dag import CONFIG_FILENAME, ONCE
from stacks.errors import StackError

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

_PAUSE = 1.0  # seconds between looks


def run_of(orchestrator_run: str) -> PipelineRunResponse | None:
    """Return ZenML's run of one of Airflow's, `DAG/RUN` or `DAG/` alone; None: it has none yet."""
    runs = Client().list_pipeline_runs(
        orchestrator_run_id=f"startswith:{orchestrator_run}", size=1, hydrate=True
    )
    return runs.items[0] if runs.items else None


def fail_unfinished(orchestrator_run: str) -> None:
    """Tell ZenML's store of steps that could not do so any more."""
    run = run_of(orchestrator_run)
    for step in run.steps.values() if run else ():
        if not step.status.is_finished:
            lost = StackError(
                f"Step {step.name} was ended from outside, by somebody or by a machine that has no memory "
                "left. Its log is in Airflow. Run the command again; what was done is not done anew."
            )
            information = collect_exception_information(lost)
            publish_step_run_status_update(step.id, ExecutionStatus.FAILED, exception_info=information)
            print(f"Step {step.name} was lost; ZenML knows now.", file=sys.stderr)


def wait_until_begun(run: UUID, dag: Path, seconds: float, address: str) -> None:
    """Return once a step of the run has begun. Raises StackError if none does in time, and takes it back."""
    deadline = time.monotonic() + seconds
    while True:
        current = Client().get_pipeline_run(run)
        if current.steps or current.status.is_finished:
            return
        if time.monotonic() > deadline:
            dag.unlink(missing_ok=True)
            step_environments.forget(dag)
            raise StackError(
                f"Airflow at {address} has not begun with the run for {seconds:.0f} s; it was taken back. "
                f"Does that Airflow read {dag.parent}, and is a worker free? What it could not read, its "
                "page Dags shows."
            )
        time.sleep(_PAUSE)


def remove_ended(folder: Path) -> None:
    """Remove the DAGs of runs that are over, but those that have a schedule: Airflow forgets them then.

    What steps were to find goes with them; Airflow may have been ended before it did that itself.
    """
    for path in folder.glob("*.zip"):
        run = run_of(f"{path.stem}/") if _is_once(path) else None
        if run is not None and run.status.is_finished:
            path.unlink(missing_ok=True)
    step_environments.forget_all_without_dag()


def _is_once(path: Path) -> bool:
    """Whether a DAG is of one run; what is not of ours, or gone meanwhile, is not."""
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(json.loads(archive.read(CONFIG_FILENAME))["schedule"] == ONCE)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return False
