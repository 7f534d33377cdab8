"""Plain Kubernetes: a Deployment and a Service a version, for clusters with no controller for models.

The API shares the requests out among the versions, by the routes that the champion tells it.
"""

from __future__ import annotations

from stacks.cluster.objects import Manifest
from stacks.cluster.pod_troubles import in_words
from stacks.components.seldon_core.description import (
    GRPC_PORT,
    HTTP_PORT,
    METRICS_PORT,
    Served,
    ServedBundle,
)
from stacks.components.seldon_core.labels import selector_of
from stacks.components.seldon_core.model_pod import pod_template
from stacks.components.seldon_core.renderings.manifest import condition, is_seen, manifest
from stacks.components.seldon_core.renderings.rendering import Rendering
from stacks.components.seldon_core.renderings.scaling import (
    AUTOSCALER,
    autoscaler,
    disruption_budget,
    may_be_several,
    replicas,
    scales,
)
from stacks.components.seldon_core.settings import SeldonCoreSettings


def render(served: Served, settings: SeldonCoreSettings) -> list[Manifest]:
    """Return the objects of each version."""
    return [each for bundle in served for each in _version(served, bundle, settings)]


def address(served: Served, bundle: ServedBundle) -> tuple[str, int]:
    """Return its own service."""
    return served.model(bundle), HTTP_PORT


def workloads(served: Served, bundle: ServedBundle) -> list[tuple[str, str]]:
    """Return its Deployment."""
    return [("Deployment", served.model(bundle))]


def fault(live: Manifest) -> str | None:
    """Return why a Deployment is not ready, "" while it is on its way; None once all its pods are new."""
    refused = condition(live, "ReplicaFailure")
    if refused.get("status") == "True":
        return f"The cluster refuses its pods: {in_words(str(refused.get('message', 'it does not say why')))}"
    wanted, status = live["spec"].get("replicas", 1), live.get("status", {})
    ready = (status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas"))
    if is_seen(live) and all(number == wanted for number in ready):
        return None
    if condition(live, "Progressing").get("reason") == "ProgressDeadlineExceeded" and is_seen(live):
        return "it makes no progress"
    return ""


def _version(served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> list[Manifest]:
    name = served.model(bundle)
    objects = [_deployment(name, served, bundle, settings), _service(name, served, bundle, settings)]
    if scales(bundle, settings):
        objects.append(autoscaler(name, served, bundle, settings))
    if may_be_several(bundle, settings):
        objects.append(disruption_budget(name, served, bundle, settings))
    return objects


def _deployment(name: str, served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> Manifest:
    spec: Manifest = {
        "selector": {"matchLabels": selector_of(served, bundle)},
        # A new pod is ready before an old one ends: no request is lost.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "progressDeadlineSeconds": max(int(settings.ready_timeout), 30),
        "revisionHistoryLimit": 3,
        "paused": False,  # somebody's pause would keep each version from coming, and give no reason
        "template": pod_template(served, bundle, settings),
    }
    if not scales(bundle, settings):  # else the number is the autoscaler's
        spec["replicas"] = replicas(bundle, settings)
    return manifest("Deployment", name, served, settings, {"spec": spec}, bundle)


def _service(name: str, served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> Manifest:
    ports = {"http": HTTP_PORT, "grpc": GRPC_PORT, "metrics": METRICS_PORT}
    spec = {
        "selector": selector_of(served, bundle),
        "ports": [
            {"name": port, "port": number, "targetPort": port, "protocol": "TCP"}
            for port, number in ports.items()
        ],
    }
    return manifest("Service", name, served, settings, {"spec": spec}, bundle)


RENDERING = Rendering(
    ("Deployment", "Service", AUTOSCALER, "PodDisruptionBudget"),
    render,
    address,
    workloads,
    fault,
)
