"""ZenML's `kubernetes` orchestrator on an image that is there, with our code in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from zenml.client import Client
from zenml.config import DockerSettings
from zenml.config.build_configuration import BuildConfiguration
from zenml.config.resource_settings import ByteUnit
from zenml.config.step_configurations import Step
from zenml.config.step_run_info import StepRunInfo
from zenml.constants import ORCHESTRATOR_DOCKER_IMAGE_KEY
from zenml.enums import ExecutionStatus
from zenml.integrations.kubernetes.flavors.kubernetes_orchestrator_flavor import (
    KubernetesOrchestratorSettings,
)
from zenml.integrations.kubernetes.orchestrators import KubernetesOrchestrator
from zenml.integrations.kubernetes.pod_settings import KubernetesPodSettings
from zenml.orchestrators import SubmissionResult

from stacks.cluster.namespace import Namespace, find_namespace, is_pod
from stacks.components.kubernetes_image.config import KubernetesImageConfig, locked_down
from stacks.components.kubernetes_image.run_pods import RunPods
from stacks.components.orchestrator_base import DATA_REMOTE, OwnImage
from stacks.errors import StackError
from stacks.shell_variables import DATABASE

if TYPE_CHECKING:
    from kubernetes.client import ApiClient
    from zenml.models import PipelineRunResponse, PipelineSnapshotBase, PipelineSnapshotResponse

# Of ZenML's own orchestrator, and of who looks at the pods of a run: verbs by kind, or by a part of it.
RIGHTS: dict[str, tuple[str, ...]] = {
    "Job": ("create", "get", "list", "patch", "delete"),
    "Pod": ("get", "list"),
    "Pod/log": ("get",),
    "Event": ("list",),
    "ConfigMap": ("get",),  # whether there is such a namespace
}
TOKEN_RIGHTS: dict[str, tuple[str, ...]] = {"Secret": ("create", "delete")}


class KubernetesImageOrchestrator(OwnImage, KubernetesOrchestrator):
    """Runs each step in a pod that is locked down."""

    keeps_here = False  # what serves is in the cluster, where pods may steer it

    @property
    def config(self) -> KubernetesImageConfig:
        """Settings of the component."""
        return cast(KubernetesImageConfig, self._config)

    def get_kube_client(self, incluster: bool | None = None) -> ApiClient:
        """ZenML's; in a pod without KUBECONFIG its own cluster, whatever context applied the stack."""
        return super().get_kube_client(incluster=True if is_pod() else incluster)

    def reached(self) -> str:
        """Return what `stack check` tells: the cluster answers, and lets this login run steps."""
        token = TOKEN_RIGHTS if self.config.pass_zenml_token_as_secret else {}
        return self._namespace.require_rights(RIGHTS | token)

    def image_facts(self) -> tuple[str, Mapping[str, str]]:
        """Return the image's digest and labels where this machine has it; elsewhere its name alone."""
        try:
            return super().image_facts()
        except StackError:
            return self.image, {}

    def get_docker_builds(self, snapshot: PipelineSnapshotBase) -> list[BuildConfiguration]:
        """Return the image as it is: ZenML neither builds, installs nor uploads anything."""
        settings = DockerSettings(
            parent_image=self.image,
            skip_build=True,
            # The code is in the image. Without these ZenML uploads this clone's, and each pod fetches it.
            allow_download_from_artifact_store=False,
            allow_download_from_code_repository=False,
            allow_including_files_in_images=True,
        )
        return [BuildConfiguration(key=ORCHESTRATOR_DOCKER_IMAGE_KEY, settings=settings)]

    def get_settings(self, container: Any) -> KubernetesOrchestratorSettings:
        """ZenML's, with pods locked down, what the stack file says of them, and a step's resources."""
        settings = cast(KubernetesOrchestratorSettings, super().get_settings(container))
        ours = _merged(locked_down(), self._environment(), self.config.pod, _resources(container))
        return settings.model_copy(
            update={
                "pod_settings": _merged(ours, _given(settings.pod_settings)),
                "orchestrator_pod_settings": _merged(ours, _given(settings.orchestrator_pod_settings)),
            }
        )

    def _submit_orchestrator_job(
        self,
        snapshot: PipelineSnapshotResponse,
        command: list[str],
        args: list[str],
        environment: dict[str, str],
        placeholder_run: PipelineRunResponse | None = None,
    ) -> SubmissionResult | None:
        """Submit; while it is waited for, the run's pods are looked at, so that a failing one says why."""
        submitted = super()._submit_orchestrator_job(snapshot, command, args, environment, placeholder_run)
        if submitted is None or submitted.wait_for_completion is None or placeholder_run is None:
            return submitted
        pods = RunPods(self._namespace, str(placeholder_run.id))
        token = self.get_token_secret_name(snapshot.id) if self.config.pass_zenml_token_as_secret else ""
        run = placeholder_run.id

        def failed() -> bool:
            return Client().get_pipeline_run(run, hydrate=False).status == ExecutionStatus.FAILED

        submitted.wait_for_completion = _watched(submitted.wait_for_completion, pods, token, failed)
        return submitted

    @property
    def _namespace(self) -> Namespace:
        return find_namespace(self.config.kubernetes_namespace, self.config.kubernetes_context or "")

    def _environment(self) -> dict[str, Any]:
        remote: list[dict[str, Any]] = [{"name": DATA_REMOTE, "value": self.data_remote}]
        address = {"name": self.config.database_secret, "key": "url", "optional": True}
        database: list[dict[str, Any]] = [{"name": DATABASE, "valueFrom": {"secretKeyRef": address}}]
        return {
            "env": [
                *(remote if self.data_remote else ()),
                *(database if self.config.database_secret else ()),
            ]
        }


def _watched(
    wait: Callable[[], None], pods: RunPods, token: str, failed: Callable[[], bool]
) -> Callable[[], None]:
    """Return what waits for a run, tells why it failed, and then sees to the Secret of its token, if any.

    Where a step's pod was ended from outside, as for its memory, ZenML's wait ends as if all were well.
    """

    def waiting() -> None:
        with pods.looked_at():
            try:
                wait()
            except Exception as error:
                reason = pods.reason()
                if token:
                    pods.forget(token)
                if reason is None:
                    raise
                raise StackError(reason) from error
        reason = pods.reason()
        if reason is not None and failed():
            raise StackError(reason)

    return waiting


def _resources(container: Any) -> dict[str, Any]:
    """Return what a step asks for, which ZenML's own orchestrator passes over; nothing for a pipeline."""
    wanted = container.config.resource_settings if isinstance(container, Step | StepRunInfo) else None
    if wanted is None or wanted.empty:
        return {}
    memory = wanted.get_memory(unit=ByteUnit.MIB)
    asked = {
        "cpu": None if wanted.cpu_count is None else f"{wanted.cpu_count:g}",
        "memory": None if memory is None else f"{memory:.0f}Mi",
        "nvidia.com/gpu": wanted.gpu_count or None,
    }
    requests = {name: str(value) for name, value in asked.items() if value is not None}
    limits = {name: value for name, value in requests.items() if name != "cpu"}  # a step may use idle cores
    return {"resources": {"requests": requests, "limits": limits}}


def _given(settings: KubernetesPodSettings | None) -> dict[str, Any]:
    return settings.model_dump(exclude_unset=True) if settings else {}


def _merged(settings: KubernetesPodSettings, *more: Mapping[str, Any]) -> KubernetesPodSettings:
    """Return settings with others over them: lists and mappings grow, anything else is replaced."""
    values = settings.model_dump()
    for each in more:
        for name, value in KubernetesPodSettings.model_validate(each).model_dump(exclude_unset=True).items():
            known = values.get(name)
            if isinstance(value, list):
                values[name] = [*(known or ()), *value]
            elif isinstance(value, dict):
                values[name] = _joined(known or {}, value)
            else:
                values[name] = value
    return KubernetesPodSettings.model_validate(values)


def _joined(known: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with another over it, at every depth."""
    both = {
        name: _joined(known[name], value)
        for name, value in more.items()
        if isinstance(value, Mapping) and isinstance(known.get(name), Mapping)
    }
    return {**known, **more, **both}
