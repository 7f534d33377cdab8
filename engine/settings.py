"""`engine` and `dask` of configs/train.yaml and configs/inference.yaml: where the work on accidents runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accidents.__about__ import __version__
from accidents.files import ROOT
from accidents.strict import Strict

Engine = Literal["local", "dask"]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class LocalWorkers(Strict):
    """Workers on this machine, started for a run and ended with it.

    `memory_limit` is of each, as `4GiB`; a worker that goes beyond it is started anew. Of each only `threads`
    partitions are in memory at once.
    """

    workers: int = Field(default=2, ge=1, le=256)
    threads: int = Field(default=1, ge=1, le=64)
    memory_limit: str = Field(default="auto", pattern=r"^(auto|\d+(\.\d+)?( ?[KMGT]i?B))$")


class KubernetesWorkers(Strict):
    """Workers in pods, made by Dask's operator for a run and ended with it.

    Attributes
    ----------
    context : of the kubeconfig; empty: its current one. In a pod it is the pod's own cluster.
    namespace : of the pods; it must exist.
    image : of scheduler and workers: the pipelines' with Dask in it (`make images WITH=dask`).
    image_pull_secret : Secret with the login of its registry.
    workers, threads : pods, and what each works on at once.
    cpu, memory : what a worker asks for and may take.
    bucket_secret : Secret whose keys are the environment with the login to `dask.folder`.
    service_account : of the pods; with a cloud's workload identity, what reads and writes the bucket.
    ready_timeout : seconds until the scheduler and a worker must be there.
    idle_timeout : seconds without work after which the operator removes a cluster that nobody ended.
    """

    context: str = ""
    namespace: _Name = "accidents"
    image: str = Field(default="road-accidents/pipelines:{version}", min_length=1)
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    image_pull_secret: str = ""
    workers: int = Field(default=2, ge=1, le=1000)
    threads: int = Field(default=1, ge=1, le=64)
    cpu: str = Field(default="1", pattern=r"^\d+(\.\d+)?m?$")
    memory: str = Field(default="4Gi", pattern=r"^\d+(\.\d+)?[MGT]i$")
    bucket_secret: str = ""
    service_account: str = "default"
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[dict[str, str | int]] = Field(default_factory=list)
    ready_timeout: float = Field(default=300, gt=0, le=7200)
    idle_timeout: int = Field(default=3600, ge=60)

    @model_validator(mode="after")
    def _outlives_its_start(self) -> KubernetesWorkers:
        if self.idle_timeout < 2 * self.ready_timeout:  # it is idle until workers come
            raise ValueError("dask.kubernetes: idle_timeout must be twice ready_timeout, or more")
        return self

    @property
    def image_here(self) -> str:
        """The image, of this version where it says `{version}`."""
        return self.image.replace("{version}", __version__)


class DaskSettings(Strict):
    """Which cluster, and how the data is cut for it.

    Attributes
    ----------
    scheduler : address of a cluster that runs already, as `tcp://scheduler:8786`.
    local : workers on this machine, where nothing else is said.
    kubernetes : workers in pods, for the run alone.
    folder : where partitions are written between steps: a folder, or `s3://bucket/folder`, that every worker
        and this machine see under that name.
    partition_rows : accidents of one year that are one partition at most.
    workers_per_bag : workers that grow a bag of the model's trees. 1: one, which holds all training rows as
        bins, with the trees of `engine: local`. More: all of them together, each with its share of the rows
        (LightGBM's data-parallel training); other trees, about as good.
    wait_seconds : how long a scheduler or workers that are gone are waited for.
    """

    scheduler: str | None = Field(default=None, pattern=r"^(tcp|tls)://[^\s/]+:\d+$")
    local: LocalWorkers | None = None
    kubernetes: KubernetesWorkers | None = None
    folder: str = Field(default=".serving/partitions", min_length=1)
    partition_rows: int = Field(default=100_000, ge=100)
    workers_per_bag: int = Field(default=1, ge=1, le=256)
    wait_seconds: float = Field(default=60.0, gt=0, le=3600)

    @model_validator(mode="after")
    def _one_cluster(self) -> DaskSettings:
        if sum(each is not None for each in (self.scheduler, self.local, self.kubernetes)) > 1:
            raise ValueError("dask: give one of `scheduler`, `local` and `kubernetes`")
        if self.kubernetes is not None and "://" not in self.folder:
            raise ValueError(
                f"dask: pods do not see {self.folder}: with `kubernetes` name a `folder` in a store, such as "
                "s3://bucket/partitions"
            )
        return self

    @model_validator(mode="after")
    def _enough_workers(self) -> DaskSettings:
        given = self.local or self.kubernetes
        if given is not None and given.workers < self.workers_per_bag:
            raise ValueError(
                f"dask: workers_per_bag is {self.workers_per_bag}, of {given.workers} `workers`: give as many"
            )
        if self.workers_per_bag > 1 and (self.scheduler or "").startswith("tls:"):
            raise ValueError(
                "dask: with a tls:// scheduler leave workers_per_bag at 1: LightGBM's workers speak to one "
                "another without encryption"
            )
        return self

    @property
    def names_cluster(self) -> bool:
        """Whether it says where to run; what a stack says of that does not count then."""
        return self.is_elsewhere or self.local is not None

    @property
    def is_elsewhere(self) -> bool:
        """Whether workers may be on other machines, with other files of the same names."""
        return self.scheduler is not None or self.kubernetes is not None

    @property
    def folder_address(self) -> str:
        """Where partitions go, by a name that workers elsewhere understand too."""
        return self.folder if "://" in self.folder else str(ROOT / self.folder)

    @property
    def workers(self) -> LocalWorkers:
        """The workers of this machine, as they are without any word on them."""
        return self.local or LocalWorkers()
