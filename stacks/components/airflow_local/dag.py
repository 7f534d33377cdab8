"""A pipeline's DAG, as Airflow reads it: ZenML puts this file and the pipeline's steps into one archive.

In an archive it runs with Airflow's Python, where nothing of the project can be imported; elsewhere it only
tells ZenML what it wants to know of each step. The names in capitals are those that ZenML asks for.
"""

from __future__ import annotations

import json
import os
import shlex
import zipfile
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

CONFIG_FILENAME = "config.json"
ENV_ZENML_AIRFLOW_RUN_ID = "ZENML_AIRFLOW_RUN_ID"
ENVIRONMENTS, STEP = "ZENML_AIRFLOW_ENVIRONMENTS", "ZENML_AIRFLOW_STEP"  # a file, and whose part in it
RUN = "{{ dag.dag_id }}/{{ run_id }}"  # of which a step is, in Airflow's templates
FAIL_UNFINISHED = "fail_unfinished"  # the task that follows one that has failed, and the words of its command
FORGET = "forget"  # the task at the end of a run that is not repeated
ONCE = "@once"  # ZenML's schedule of a run that has none


class TaskConfiguration(BaseModel):
    """A step; `operator_args` has the project's folder and its Python.

    Its environment may hold secrets, and is never written with it: step_environments.py.
    """

    id: str
    upstream_steps: list[str]
    arguments: list[str]
    environment: dict[str, str] = Field(default={}, exclude=True, repr=False)
    operator_args: dict[str, str]


class DagConfiguration(BaseModel):
    """A pipeline."""

    id: str
    tasks: list[TaskConfiguration]
    schedule: timedelta | str | None
    start_date: datetime | None
    end_date: datetime | None = None
    catchup: bool = False
    tags: list[str] = []
    environments: str = ""  # the file that has them


def command(config: DagConfiguration, task: TaskConfiguration, *words: str) -> dict[str, Any]:
    """Return what a BashOperator runs: the project's own entry point with these words."""
    python, folder = task.operator_args["python"], task.operator_args["folder"]
    return {
        "bash_command": f"exec {shlex.join([python, '-m', 'stacks.step_process'])} {shlex.join(words)}",
        "cwd": folder,
        "env": {ENVIRONMENTS: config.environments, STEP: task.id, ENV_ZENML_AIRFLOW_RUN_ID: RUN},
        "append_env": True,
        "skip_on_exit_code": None,
    }


def make_dag(config: DagConfiguration) -> Any:
    """Return the DAG: a task for each step, and one that tells ZenML of steps that could not tell it.

    At its end the environments go, but those of a schedule.
    """
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG, TriggerRule

    with DAG(
        dag_id=config.id,
        schedule=config.schedule,
        start_date=config.start_date,
        end_date=config.end_date,
        catchup=config.catchup,
        tags=config.tags,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args={"retries": 0},
    ) as dag:
        made: dict[str, Any] = {}
        for task in config.tasks:
            made[task.id] = BashOperator(task_id=task.id, **command(config, task, *task.arguments))
            made[task.id].set_upstream([made[name] for name in task.upstream_steps])
        last = BashOperator(
            task_id=FAIL_UNFINISHED,
            trigger_rule=TriggerRule.ONE_FAILED,
            **command(config, config.tasks[0], FAIL_UNFINISHED),
        )
        last.set_upstream(list(made.values()))
        if config.schedule == ONCE:
            words = shlex.join(["rm", "-f", config.environments])
            # A teardown: after whatever came of the others, and the run's own state is theirs.
            BashOperator(task_id=FORGET, bash_command=words).as_teardown().set_upstream(
                [*made.values(), last]
            )
    return dag


_here = os.path.dirname(__file__)
if zipfile.is_zipfile(_here):
    with zipfile.ZipFile(_here) as _archive:
        pipeline = make_dag(DagConfiguration(**json.loads(_archive.read(CONFIG_FILENAME))))
