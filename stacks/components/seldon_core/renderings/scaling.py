"""How many pods there are, and how many must stay: for each runtime that leaves it to Kubernetes."""

from __future__ import annotations

from typing import Any

from stacks.cluster.objects import Manifest
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.labels import selector_of
from stacks.components.seldon_core.renderings.manifest import manifest
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.components.trials import CHAMPION

REQUESTS = (
    "rest_server_requests_per_second"  # as a metrics adapter makes it of MLServer's rest_server_requests
)
AUTOSCALER = "HorizontalPodAutoscaler"


def replicas(bundle: ServedBundle, settings: SeldonCoreSettings) -> int:
    """Return how many pods a version begins with: what is on trial has one."""
    return settings.replicas if bundle.role == CHAMPION else 1


def scales(bundle: ServedBundle, settings: SeldonCoreSettings) -> bool:
    """Whether load decides how many there are."""
    return settings.scales and bundle.role == CHAMPION


def may_be_several(bundle: ServedBundle, settings: SeldonCoreSettings) -> bool:
    """Whether a version has several pods, or may come to have them."""
    return replicas(bundle, settings) > 1 or scales(bundle, settings)


def metrics(settings: SeldonCoreSettings) -> list[dict[str, Any]]:
    """Return what load is measured by, as autoscaling/v2 takes it."""
    cpu = {"type": "Utilization", "averageUtilization": settings.cpu_target}
    measured: list[dict[str, Any]] = [{"type": "Resource", "resource": {"name": "cpu", "target": cpu}}]
    if settings.requests_target:
        target = {"type": "AverageValue", "averageValue": str(settings.requests_target)}
        measured.append({"type": "Pods", "pods": {"metric": {"name": REQUESTS}, "target": target}})
    return measured


def autoscaler(name: str, served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> Manifest:
    """Return the autoscaler of a Deployment."""
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": settings.replicas,
        "maxReplicas": settings.max_replicas,
        "metrics": metrics(settings),
    }
    return manifest(AUTOSCALER, name, served, settings, {"spec": spec}, bundle)


def disruption_budget(
    name: str, served: Served, bundle: ServedBundle, settings: SeldonCoreSettings
) -> Manifest:
    """Return the PodDisruptionBudget of a version: one pod at a time may be taken away."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": selector_of(served, bundle)}}
    return manifest("PodDisruptionBudget", name, served, settings, {"spec": spec}, bundle)
