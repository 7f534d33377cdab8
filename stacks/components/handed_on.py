"""What steps in processes of their own, on this machine, take from the environment of who starts the run.

Where the prediction log is, and where DVC's remote is and its login. Secrets are among it: never in what an
engine, or Airflow, shows.
"""

from __future__ import annotations

import os

from stacks.shell_variables import DATABASE

_HANDED_ON = (
    DATABASE, "ACCIDENTS_DVC_REMOTE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN", "STORAGE_EMULATOR_HOST",
)  # fmt: skip


def handed_on() -> dict[str, str]:
    """Return those of its variables that are set."""
    return {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
