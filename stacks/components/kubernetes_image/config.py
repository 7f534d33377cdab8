"""The settings of the `kubernetes_image` orchestrator."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from zenml.integrations.kubernetes.flavors.kubernetes_orchestrator_flavor import KubernetesOrchestratorConfig
from zenml.integrations.kubernetes.pod_settings import KubernetesPodSettings

from stacks.components.image_layout import CODE, STATE, USER, WRITTEN
from stacks.environment import READ_AT_IMPORT


def locked_down() -> KubernetesPodSettings:
    """Return Pod Security `restricted`, a read-only root, and what code writes there: /state and /tmp."""
    environment = {**READ_AT_IMPORT, "ZENML_CUSTOM_SOURCE_ROOT": CODE, "ZENML_REPOSITORY_PATH": CODE}
    # A part of one volume each: unlike the volume itself they are made where they are not there.
    state = [{"name": "state", "mountPath": f"{STATE}/{part}", "subPath": part} for part in WRITTEN]
    return KubernetesPodSettings(
        labels={"app.kubernetes.io/name": "step"},  # kubernetes/base/network_policies.yaml: what it may reach
        env=[{"name": name, "value": value} for name, value in environment.items()],
        volumes=[{"name": name, "emptyDir": {}} for name in ("state", "tmp")],
        volume_mounts=[*state, {"name": "tmp", "mountPath": "/tmp"}],
        container_security_context={
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    )


class KubernetesImageConfig(KubernetesOrchestratorConfig):
    """Which image, and what ZenML's own orchestrator takes (pod_settings, retries, namespace ...)."""

    image: str = Field(
        default="road-accidents/pipelines:{version}", description="Image with the project's code in /app."
    )
    data_remote: str = Field(
        default="", description="DVC remote by which raw files reach the steps; empty: the sample only."
    )
    database_secret: str = Field(
        default="",
        description="Secret whose key `url` is the prediction store's address, for pods; empty, or "
        "where there is none: ZenML's secret `accidents`.",
    )
    pod: dict[str, Any] = Field(
        default_factory=dict,
        description="What a step's pod has beside the defaults: KubernetesPodSettings, such as resources, "
        "node_selectors, tolerations, env_from.",
    )
