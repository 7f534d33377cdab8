"""What the shell says of other projects, and would lead ours astray: each variable is decided on here.

Left out, and told: those below. Honoured: `ZENML_CONFIG_PATH`, `ZENML_STORE_*` (whose store it is, a person's
own choice), MLflow's credentials, proxies, and all of ACCIDENTS_*.
"""

from __future__ import annotations

from collections.abc import MutableMapping

DATABASE = "ACCIDENTS_DATABASE_URL"  # as accidents/predictions/store.py reads it: a test holds them together
_STACK = "the stack says where runs and models go"
_PROJECT = "steps are found in this project's folder"
_GIT = "the commit that is recorded is this project's"

LEFT_OUT = {
    "MLFLOW_TRACKING_URI": _STACK,
    "MLFLOW_REGISTRY_URI": _STACK,
    "MLFLOW_EXPERIMENT_ID": _STACK,
    "MLFLOW_EXPERIMENT_NAME": _STACK,
    "MLFLOW_RUN_ID": _STACK,
    "MLFLOW_ACTIVE_MODEL_ID": _STACK,
    "ZENML_ACTIVE_STACK_ID": "--stack says on which stack",
    "ZENML_ACTIVE_PROJECT_ID": "ZenML's store of this project says in which of its projects",
    "ZENML_CUSTOM_SOURCE_ROOT": _PROJECT,
    "ZENML_REPOSITORY_PATH": _PROJECT,
    # Git sets these for what its hooks start.
    "GIT_DIR": _GIT,
    "GIT_WORK_TREE": _GIT,
    "GIT_INDEX_FILE": _GIT,
    "GIT_OBJECT_DIRECTORY": _GIT,
    "GIT_COMMON_DIR": _GIT,
}


def leave_out(environ: MutableMapping[str, str], ours: str) -> list[str]:
    """Remove these variables, but for those that lead to our own folder; a line for each that is removed."""
    for name in [name for name in environ if name.startswith("ZENML_STORE_") and not environ[name]]:
        del environ[
            name
        ]  # set to nothing, as a workflow does of what nobody has told it: ZenML would take it
    left_out = [name for name in LEFT_OUT if environ.get(name, ours) != ours]
    for name in left_out:
        del environ[name]
    return [f"{name} of the shell is not used: {LEFT_OUT[name]}." for name in left_out]
