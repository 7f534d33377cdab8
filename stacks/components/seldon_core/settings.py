"""The settings of a model server on Kubernetes, or of Seldon's on this machine; without ZenML."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stacks.placeholders import of_here

Runtime = Literal["deployment", "seldon", "kserve", "seldon2", "microservice"]
MICROSERVICE: Runtime = "microservice"  # on this machine; all others are of a cluster
_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$"
_WITH_INITIALIZER: tuple[Runtime, ...] = ("seldon", "kserve")  # which have one of their own
_BY_REQUESTS: tuple[Runtime, ...] = ("deployment", "seldon")  # whose autoscaler is Kubernetes' own
_NEEDED_HERE = ("folder", "lock", "code")
_OF_MICROSERVICE = (*_NEEDED_HERE, "environments")
_OF_BOTH = ("runtime", "ready_timeout", "request_timeout", "grace")
_PLACES = ("image", "fetch_image", *_OF_MICROSERVICE)
_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


class SeldonCoreSettings(BaseModel):
    """Which cluster, what serves there, how much of it, and how long it may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runtime: Runtime = Field(
        default="seldon",
        description="What serves: seldon (Seldon Core v1), seldon2 (Seldon Core 2), kserve, deployment "
        "(plain Kubernetes), or microservice (Seldon's own Python server on this machine).",
    )
    folder: str = Field(
        default="", description="Of microservice: where it keeps bundles, code, state and logs."
    )
    lock: str = Field(default="", description="Of microservice: lock file of the environment it runs in.")
    code: str = Field(
        default="",
        description="Of microservice: folder with accidents/ and serving/, which it gets a copy of.",
    )
    environments: str = Field(
        default="", description="Of microservice: where environments are built; by default in folder."
    )
    context: str = Field(
        default="",
        description="Context of the kubeconfig; empty: its current one, in a pod without KUBECONFIG the "
        "pod's cluster.",
    )
    namespace: str = Field(default="accidents", pattern=_NAME, description="It must exist.")
    address: str = Field(
        default="",
        description="Where the champion is asked from outside of the cluster, by way of its ingress; with it "
        "no version can be on trial, for the API is outside as well.",
    )
    image: str = Field(
        default="road-accidents/model-server:{version}", description="Image of the model server."
    )
    fetch_image: str = Field(
        default="road-accidents/pipelines:{version}",
        description="Image of the init container that gets the bundle, and checks it.",
    )
    storage_initializer: Literal["ours", "platform"] = Field(
        default="ours",
        description="Who fetches the bundle: ours, an init container that checks its digest; or platform, "
        "that of seldon or kserve: not tried on a cluster.",
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(default="IfNotPresent")
    image_pull_secret: str = Field(default="", description="Secret with the login of the images' registry.")
    bucket_secret: str = Field(
        default="",
        description="Secret whose keys are the environment in which the bundle is fetched: "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL ..., or AZURE_STORAGE_CONNECTION_STRING, "
        "or FSSPEC_GS.",
    )
    service_account: str = Field(
        default="default", description="Of the pods; with a cloud's workload identity, what reads the bucket."
    )
    pod_labels: dict[str, str] = Field(
        default_factory=dict,
        description="Labels of the pods beside ours; AKS wants azure.workload.identity/use.",
    )
    replicas: int = Field(default=2, ge=1, le=1000, description="Model servers, or the fewest of them.")
    max_replicas: int = Field(
        default=0, ge=0, le=1000, description="The most of them, by load; 0: always `replicas`."
    )
    cpu_target: int = Field(
        default=70, ge=1, le=1000, description="Percent of the requested CPU at which more are started."
    )
    requests_target: int = Field(
        default=0, ge=0, description="Requests a second and pod at which more are started; 0: not by them."
    )
    cpu: str = Field(default="250m", pattern=_QUANTITY, description="What a model server asks for.")
    cpu_limit: str = Field(default="2", pattern=_QUANTITY)
    memory: str = Field(default="512Mi", pattern=_QUANTITY, description="What it asks for.")
    memory_limit: str = Field(default="1Gi", pattern=_QUANTITY)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[dict[str, str | int]] = Field(default_factory=list)
    ready_timeout: float = Field(default=300, gt=0, description="Seconds until a version must be ready.")
    request_timeout: float = Field(default=30, gt=0, description="Seconds for one request to the cluster.")
    grace: int = Field(
        default=45, ge=10, le=3600, description="Seconds a model server has to end its requests."
    )
    adopt: bool = Field(
        default=False, description="Take over objects of the same names that somebody else has made."
    )

    @model_validator(mode="after")
    def _scales_up(self) -> Self:
        if self.max_replicas and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas is {self.max_replicas}, fewer than the {self.replicas} replicas")
        if self.requests_target and not self.scales:
            raise ValueError("requests_target has no use while max_replicas is not above replicas")
        if self.requests_target and self.runtime not in _BY_REQUESTS:
            raise ValueError(f"runtime {self.runtime} has no use for requests_target: leave it out")
        return self

    @model_validator(mode="after")
    def _has_an_initializer(self) -> Self:
        if self.storage_initializer == "platform" and self.runtime not in _WITH_INITIALIZER:
            raise ValueError(f"runtime {self.runtime} has no storage_initializer of its own: leave it out")
        return self

    @model_validator(mode="after")
    def _is_of_its_runtime(self) -> Self:
        """Refuse what the runtime would pass over."""
        here = self.runtime == MICROSERVICE
        others = [name for name in _set(self) if (name in _OF_MICROSERVICE) != here and name not in _OF_BOTH]
        if others:
            raise ValueError(f"runtime {self.runtime} has no use for {', '.join(others)}: leave it out")
        lacking = [name for name in _NEEDED_HERE if here and not getattr(self, name)]
        if lacking:
            raise ValueError(f"runtime {self.runtime} needs {', '.join(lacking)}")
        return self

    @property
    def place(self) -> str:
        """Where it serves, on this machine or in its cluster: deployers with one place see each other's."""
        return self.folder if self.runtime == MICROSERVICE else self.namespace

    @property
    def scales(self) -> bool:
        """Whether the number of model servers follows the load."""
        return self.max_replicas > self.replicas

    def here(self) -> Self:
        """Return the same with what `{version}` is here."""
        return self.model_copy(update={name: of_here(getattr(self, name)) for name in _PLACES})


def _set(settings: SeldonCoreSettings) -> list[str]:
    """Return the settings that are not what they are by default."""
    fields = SeldonCoreSettings.model_fields
    return [
        name
        for name, field in fields.items()
        if getattr(settings, name) != field.get_default(call_default_factory=True)
    ]
