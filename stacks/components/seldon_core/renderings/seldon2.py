"""Seldon Core 2: a Server of our image, a Model a version, an Experiment for who has Seldon share out.

The Server's agent fetches what `storageUri` names, and MLServer loads it: no init container. The Experiment,
which also mirrors to a shadow, has a name of its own. Under the champion's name the champion alone answers,
for the API shares requests out itself, by the routes that the champion tells it. Seldon Core 2 is under the
Business Source License 1.1: see docs/kubernetes.md.
"""

from __future__ import annotations

from stacks.cluster.objects import Manifest
from stacks.components.seldon_core.description import CANDIDATE, Served, ServedBundle
from stacks.components.seldon_core.renderings.manifest import condition, is_seen, manifest
from stacks.components.seldon_core.renderings.rendering import Rendering
from stacks.components.seldon_core.renderings.scaling import replicas, scales
from stacks.components.seldon_core.settings import SeldonCoreSettings

CAPABILITY = "road-accidents"  # of a Server that runs our image
_MESH, _PORT = "seldon-mesh", 80
_SHADOW = "shadow"


def render(served: Served, settings: SeldonCoreSettings) -> list[Manifest]:
    """Return the Models, and the Experiment while something is beside the champion."""
    models = [_model(served, bundle, settings) for bundle in served]
    tried = [bundle for bundle in served.beside if bundle.role != CANDIDATE]
    return [*models, _experiment(served, tried, settings)] if tried else models


def address(served: Served, bundle: ServedBundle) -> tuple[str, int]:
    """Return the mesh, which knows every Model by its name."""
    return _MESH, _PORT


def workloads(served: Served, bundle: ServedBundle) -> list[tuple[str, str]]:
    """Return its Model."""
    return [("Model", served.model(bundle))]


def fault(live: Manifest) -> str | None:
    """Return why a Model is not ready, "" while it is on its way; None once it is."""
    ready = condition(live, "ModelReady") or condition(live, "Ready")
    if ready.get("status") == "True" and is_seen(live):
        return None
    return str(ready.get("message", "")) if ready.get("reason") == "ModelFailed" else ""


def _model(served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> Manifest:
    spec: Manifest = {
        "storageUri": bundle.uri,
        "requirements": [CAPABILITY],
        "memory": settings.memory,
        "replicas": replicas(bundle, settings),
    }
    if scales(bundle, settings):
        spec |= {"minReplicas": settings.replicas, "maxReplicas": settings.max_replicas}
    if settings.bucket_secret:
        spec["secretName"] = settings.bucket_secret
    return manifest("Model", served.model(bundle), served, settings, {"spec": spec}, bundle)


def _experiment(served: Served, tried: list[ServedBundle], settings: SeldonCoreSettings) -> Manifest:
    answering = [bundle for bundle in (served.champion, *tried) if bundle.role != _SHADOW]
    spec: Manifest = {
        "candidates": [{"name": served.model(bundle), "weight": bundle.share} for bundle in answering],
    }
    for bundle in tried:
        if bundle.role == _SHADOW:
            spec["mirror"] = {"name": served.model(bundle), "percent": 100}
    return manifest("Experiment", f"{served.name}-experiment", served, settings, {"spec": spec})


RENDERING = Rendering(
    ("Experiment", "Model"),
    render,
    address,
    workloads,
    fault,
    own_pods=False,
    lacking="its agent wants a model-settings.json in the bundle's folder, and a Server of our image",
)
