"""What the pipelines' image has where: Dockerfile."""

from __future__ import annotations

CODE = "/app"
STATE = "/state"  # what the code writes; the rest of the root may be read-only
USER = 10001
# Folders under STATE to which links in CODE lead: they must be there before a step runs.
WRITTEN = ("data", "dvc/cache", "dvc/tmp", "reports", "serving", "zenml")
