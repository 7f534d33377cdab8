"""Airflow as `make airflow` sets it up, for a copy of the project: its DAGs executed without a scheduler."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from commands.airflow import LOCK, airflow_variables
from stacks.locked_environments import built, environments_folder
from tests.conftest import ROOT
from tests.pipelines.conftest import Project

PYTHON = built(LOCK, environments_folder(ROOT / ".serving" / "environments"))
TIMEOUT = 900  # seconds a run


class Airflow:
    """Airflow with a database of its own, in a project's folder; retries come at once."""

    def __init__(self, project: Project, **variables: str) -> None:
        self.project, self.home = project, project.folder / ".airflow"
        python = project.folder / ".venv"
        if not python.exists():
            python.symlink_to(sys.prefix)
        own = airflow_variables(self.home)
        self.environment = {**project.environment, **own, "ACCIDENTS_RETRY_SECONDS": "1", **variables}
        self("db", "migrate")

    def __call__(self, *words: str) -> str:
        """`airflow WORDS`, and all that it said."""
        done = subprocess.run(
            [str(PYTHON), "-m", "airflow", *words], cwd=self.project.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        return done.stdout

    def run(self, dag: str, **conf: Any) -> tuple[dict[str, str], str]:
        """Execute a DAG; how each of its tasks ended, and all that was said."""
        said = self("dags", "test", dag, "--conf", json.dumps(conf))
        (run,) = self.rows("SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1", dag)
        states = self.rows(
            "SELECT task_id, state FROM task_instance WHERE dag_id = ? AND run_id = ?", dag, *run
        )
        return dict(states), said

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What its database answers."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            return database.execute(query, values).fetchall()


def in_airflow(code: str, home: Path) -> Any:
    """What `code`, run by Airflow's Python, prints as its last line: JSON."""
    done = subprocess.run(
        [str(PYTHON), "-c", code], cwd=ROOT, env={**os.environ, **airflow_variables(home)},
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])
