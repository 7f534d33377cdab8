"""What a step did on Dask, as an artifact and metadata of its run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zenml import log_metadata, save_artifact

from engine.report import reported
from engine.settings import DaskSettings
from steps.folder import Folder

ARTIFACT = "dask_report"


@contextmanager
def on_cluster(dask: DaskSettings) -> Iterator[None]:
    """Keep Dask's performance report of the block, and the address of the dashboard."""
    with reported(dask, _keep):
        yield


def _keep(folder: Path, dashboard: str) -> None:
    save_artifact(Folder(folder), name=ARTIFACT)
    log_metadata({"dask_dashboard": dashboard})
