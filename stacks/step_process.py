"""A step of a run that Airflow began, as a process of this project: `python -m stacks.step_process WORDS`.

WORDS are those of ZenML's own entry point, or `fail_unfinished`: then ZenML is told that the steps that it
takes to be at work are not, as after kill -9, and the process ends with 1.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from stacks.components.airflow_local import step_environments
from stacks.components.airflow_local.dag import ENV_ZENML_AIRFLOW_RUN_ID, FAIL_UNFINISHED
from stacks.environment import prepare_environment
from stacks.errors import StackError

_NAMED = ("ZENML_ACTIVE_STACK_ID", "ZENML_ACTIVE_PROJECT_ID")  # by ZenML, of the run; a shell's would go


def main() -> None:
    """Run the step, or tell of those that were lost."""
    try:
        step_environments.enter()
    except StackError as error:
        sys.exit(str(error))
    named = {name: os.environ.pop(name) for name in _NAMED if name in os.environ}
    prepare_environment(Path(__file__).resolve().parent.parent)
    os.environ.update(named)
    if sys.argv[1:] == [FAIL_UNFINISHED]:
        from stacks.components.airflow_local.runs import fail_unfinished

        fail_unfinished(os.environ[ENV_ZENML_AIRFLOW_RUN_ID])
        sys.exit("A task before this one has failed: see its log.")
    runpy.run_module("zenml.entrypoints.entrypoint", run_name="__main__")


if __name__ == "__main__":
    main()
