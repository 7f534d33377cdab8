"""KServe: an InferenceService a version, in KServe's standard mode (RawDeployment: plain Deployments).

`canaryTrafficPercent` is not set: KServe reads it in its serverless mode alone. There Knative refuses pods
of several ports, and champion and challenger share one name, under which neither can be proved. The API
shares requests out, by the routes that the champion tells it, as on `deployment`. A container of ours
stands in place of KServe's `model`: the bundle comes by our init container, as under each runtime, or by
KServe's own, which a container of somebody else's asks for by its variable STORAGE_URI.
"""

from __future__ import annotations

from stacks.cluster.objects import Manifest
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.model_pod import is_fetched_by_us, pod_metadata, pod_spec
from stacks.components.seldon_core.renderings import deployment
from stacks.components.seldon_core.renderings.manifest import condition, manifest
from stacks.components.seldon_core.renderings.rendering import Rendering
from stacks.components.seldon_core.renderings.scaling import (
    disruption_budget,
    may_be_several,
    replicas,
    scales,
)
from stacks.components.seldon_core.settings import SeldonCoreSettings

_PORT = 80
_MODE = {"serving.kserve.io/deploymentMode": "RawDeployment"}


def render(served: Served, settings: SeldonCoreSettings) -> list[Manifest]:
    """Return the InferenceService of each version, and a budget for the champion's pods."""
    services = [_service(served, bundle, settings) for bundle in served]
    if may_be_several(served.champion, settings):
        services.append(disruption_budget(served.name, served, served.champion, settings))
    return services


def address(served: Served, bundle: ServedBundle) -> tuple[str, int]:
    """Return the service of its predictor."""
    return f"{served.model(bundle)}-predictor", _PORT


def workloads(served: Served, bundle: ServedBundle) -> list[tuple[str, str]]:
    """Return its InferenceService, and the Deployment that KServe makes of it."""
    model = served.model(bundle)
    return [("InferenceService", model), ("Deployment", f"{model}-predictor")]


def fault(live: Manifest) -> str | None:
    """Return why one of them is not ready, "" while it is on its way; None once it is.

    The generation in an InferenceService's status is that of the Deployment, so it says nothing here.
    """
    if live["kind"] == "Deployment":
        return deployment.fault(live)
    if condition(live, "Ready").get("status") == "True":
        return None
    failure = live.get("status", {}).get("modelStatus", {}).get("lastFailureInfo", {})
    return str(failure.get("message", ""))


def _service(served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> Manifest:
    pod = pod_spec(served, bundle, settings)
    environment = pod["containers"][0]["env"]
    environment.append({"name": "PROTOCOL", "value": "v2"})  # of a custom container; else v1
    if not is_fetched_by_us(settings):
        environment.append({"name": "STORAGE_URI", "value": bundle.uri})
    predictor: Manifest = {
        **pod_metadata(served, bundle, settings),
        **pod,
        "minReplicas": replicas(bundle, settings),
        "maxReplicas": settings.max_replicas if scales(bundle, settings) else replicas(bundle, settings),
        "scaleMetric": "cpu",
        "scaleTarget": settings.cpu_target,
    }
    content = {"spec": {"predictor": predictor}}
    rendered = manifest("InferenceService", served.model(bundle), served, settings, content, bundle)
    rendered["metadata"]["annotations"] = _MODE
    return rendered


RENDERING = Rendering(("InferenceService", "PodDisruptionBudget"), render, address, workloads, fault)
