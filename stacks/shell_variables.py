"""What the shell says of other projects, and would lead ours astray: each variable is decided on here.

Left out, and told: those below. Honoured, and told: `ZENML_CONFIG_PATH` and `ZENML_STORE_URL` (whose store it
is, a person chooses). Honoured: the rest of ZENML_STORE_*, MLflow's credentials, proxies, and ACCIDENTS_*.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping
from pathlib import Path

CONFIG = "ZENML_CONFIG_PATH"
STORE = "ZENML_STORE_"  # begins what says where ZenML's server is, and who asks
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
    "ZENML_LOCAL_STORES_PATH": "ZenML's store has it in its own folder",
    # Projects with gunicorn set it; where that folder is gone, Prometheus' client ends in an error.
    "PROMETHEUS_MULTIPROC_DIR": "what our programs measure is theirs",
    # Git sets these for what its hooks start.
    "GIT_DIR": _GIT,
    "GIT_WORK_TREE": _GIT,
    "GIT_INDEX_FILE": _GIT,
    "GIT_OBJECT_DIRECTORY": _GIT,
    "GIT_COMMON_DIR": _GIT,
}


def leave_out(environ: MutableMapping[str, str], ours: Collection[str]) -> list[str]:
    """Remove these variables, but for those that lead to folders of ours; a line for each that is removed."""
    # Set to nothing, as a workflow does of what nobody has told it: ZenML would take it.
    for name in [name for name in environ if name.startswith((STORE, CONFIG)) and not environ[name]]:
        del environ[name]
    left_out = [name for name in LEFT_OUT if name in environ and environ[name] not in ours]
    for name in left_out:
        del environ[name]
    return [f"{name} of the shell is not used: {LEFT_OUT[name]}." for name in left_out]


def honoured(environ: Mapping[str, str], folder: Path) -> list[str]:
    """Return a line for each variable that names another store than this folder's; no password in it."""
    said = []
    config, url = environ.get(CONFIG, ""), environ.get(f"{STORE}URL", "")
    if config and Path(config).resolve() != folder.resolve():
        said.append(f"{CONFIG} of the shell is used: ZenML's store and settings are in {config}.")
    if url:
        said.append(f"{STORE}URL of the shell is used: ZenML's store is {_without_password(url)}.")
    return said


def _without_password(address: str) -> str:
    scheme, separator, rest = address.rpartition("://")
    return address if scheme == "sqlite" else f"{scheme}{separator}{rest.rpartition('@')[2]}"
