"""Kubernetes' objects as plain data: their kinds, and how ours are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]
MANAGER = "road-accidents"  # field manager, and the label of all that is ours
MANAGED_BY = "app.kubernetes.io/managed-by"
# Version and name in the API's paths.
KINDS = {
    "ConfigMap": ("v1", "configmaps"),
    "Event": ("v1", "events"),
    "Pod": ("v1", "pods"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "Job": ("batch/v1", "jobs"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "Deployment": ("apps/v1", "deployments"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "SeldonDeployment": ("machinelearning.seldon.io/v1", "seldondeployments"),
    "Model": ("mlops.seldon.io/v1alpha1", "models"),
    "Experiment": ("mlops.seldon.io/v1alpha1", "experiments"),
    "InferenceService": ("serving.kserve.io/v1beta1", "inferenceservices"),
    "DaskCluster": ("kubernetes.dask.org/v1", "daskclusters"),
}


def selecting(labels: Mapping[str, str]) -> str:
    """Return labels as the API takes them in a query."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def annotation(live: Manifest, name: str) -> str | None:
    """Return an annotation of an object, None if it has none of that name."""
    value = live["metadata"].get("annotations", {}).get(name)
    return None if value is None else str(value)
