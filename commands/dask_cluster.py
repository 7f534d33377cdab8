"""The Dask cluster of a stack: what `engine: dask` runs on there, and whether it can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from commands.project import ROOT
from stacks.definition import STACKS_FOLDER, read_stack
from stacks.errors import StackError

if TYPE_CHECKING:
    from pipelines.config import PipelineConfig
    from stacks.check import Finding


def configuration(
    pipeline: str, stack: str, given: Path | None, folder: Path = STACKS_FOLDER
) -> PipelineConfig:
    """Read a pipeline's configuration, with the stack's cluster where it is on Dask and names none itself."""
    from pipelines.config import load_config

    config = load_config(pipeline, stack, ROOT / "configs", given)
    if config.on_dask is None or config.dask.names_cluster:
        return config
    cluster = read_stack(stack, folder).cluster()
    return config if cluster is None else config.with_cluster(cluster, f"stacks/{stack}.yaml")


def check_cluster(stack: str, folder: Path = STACKS_FOLDER) -> Iterator[Finding]:
    """Try the cluster that a stack file names: its scheduler, its workers, and the folder of partitions.

    Where a run starts workers of its own in Kubernetes, nothing is started: whether it could.
    """
    try:
        if read_stack(stack, folder).dask is None:
            return
    except StackError:  # told as the file's fault
        return
    from engine import cluster, cluster_check
    from engine.settings import DaskSettings
    from pipelines.config import load_config
    from stacks.check import tried

    settings = DaskSettings()

    def connect() -> str:
        nonlocal settings
        named = read_stack(stack, folder).cluster() or {}
        config = load_config("train", stack, ROOT / "configs").with_cluster(named, f"stacks/{stack}.yaml")
        wait = min(cluster.PATIENCE, config.dask.wait_seconds)
        settings = config.dask.model_copy(update={"wait_seconds": wait})
        return cluster_check.reach(settings)

    try:
        reached = tried("dask scheduler", connect, "Is what answers there a Dask scheduler of our version?")
        yield reached
        if reached.well and settings.kubernetes is None:
            yield tried("dask partitions", lambda: cluster_check.share_folder(settings), "Do workers run?")
    finally:
        cluster.disconnect(settings)
