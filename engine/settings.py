"""`engine` and `dask` of configs/train.yaml and configs/inference.yaml: where the work on accidents runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from accidents.config import Strict

Engine = Literal["local", "dask"]


class LocalWorkers(Strict):
    """Workers on this machine, started for a run and ended with it.

    `memory_limit` is of each, as `4GiB`; a worker that goes beyond it is started anew. Of each only `threads`
    partitions are in memory at once.
    """

    workers: int = Field(default=2, ge=1, le=256)
    threads: int = Field(default=1, ge=1, le=64)
    memory_limit: str = Field(default="auto", pattern=r"^(auto|\d+(\.\d+)?( ?[KMGT]i?B))$")


class DaskSettings(Strict):
    """Which cluster, and how the data is cut for it.

    Attributes
    ----------
    scheduler : address of a cluster that runs already, as `tcp://scheduler:8786`.
    local : workers on this machine, where there is no `scheduler`.
    folder : where partitions are written between steps: a folder, or `s3://bucket/folder`, that every worker
        and this machine see under that name.
    partition_rows : accidents of one year that are one partition at most.
    wait_seconds : how long a scheduler or workers that are gone are waited for.
    """

    scheduler: str | None = Field(default=None, pattern=r"^(tcp|tls)://[^\s/]+:\d+$")
    local: LocalWorkers | None = None
    folder: str = Field(default=".serving/partitions", min_length=1)
    partition_rows: int = Field(default=100_000, ge=100)
    wait_seconds: float = Field(default=60.0, gt=0, le=3600)

    @model_validator(mode="after")
    def _one_cluster(self) -> DaskSettings:
        if self.scheduler is not None and self.local is not None:
            raise ValueError("dask: give `scheduler` or `local`, not both")
        return self

    @property
    def names_cluster(self) -> bool:
        """Whether it says where to run; what a stack says of that does not count then."""
        return self.scheduler is not None or self.local is not None

    @property
    def workers(self) -> LocalWorkers:
        """The workers of this machine, as they are without any word on them."""
        return self.local or LocalWorkers()
