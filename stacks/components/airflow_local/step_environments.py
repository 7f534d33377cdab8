"""What the steps of a run find in their environment, a ZenML server's token among it: not in the DAG.

It is a file beside ZenML's store. Airflow keeps a DAG in its database, and shows on its pages what each task
is given.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stacks.components.airflow_local.dag import ENVIRONMENTS, STEP
from stacks.environment import store_folder
from stacks.errors import StackError

_FOLDER = "airflow"  # in ZenML's store


def environments_of(dag: Path) -> Path:
    """Return where the environments of a DAG's steps are."""
    return store_folder() / _FOLDER / f"{dag.stem}.json"


def keep(dag: Path, steps: Mapping[str, Mapping[str, str]]) -> None:
    """Write what each step will find, for this user alone."""
    path = environments_of(dag)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = json.dumps({"dag": str(dag), "steps": steps})
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)


def forget(dag: Path) -> None:
    """Remove it."""
    environments_of(dag).unlink(missing_ok=True)


def forget_all_without_dag() -> None:
    """Remove those of DAGs that somebody has deleted, such as a schedule's."""
    for path in (store_folder() / _FOLDER).glob("*.json"):
        named = _read(path).get("dag")  # none: it is written at this moment
        # Before it there is the DAG's `.tmp`, which then becomes the DAG: asked for in this order.
        if named and not (Path(named).with_suffix(".tmp").exists() or Path(named).exists()):
            path.unlink(missing_ok=True)


def enter() -> None:
    """Give this process, a task of Airflow's, the environment of its step.

    Raises
    ------
    StackError
        It is no longer there.
    """
    file, step = os.environ.pop(ENVIRONMENTS, ""), os.environ.pop(STEP, "")
    if not file:
        return  # the DAG of a schedule from before these were kept: it has them itself
    environment = _read(Path(file)).get("steps", {}).get(step)
    if environment is None:
        raise StackError(
            f"What step {step} needs is not in {file}, which goes when its run is over. "
            "Run the command again; what was done is not done anew."
        )
    os.environ.update(environment)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
