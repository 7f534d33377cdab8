"""Seldon Core v1: one SeldonDeployment, a predictor a version, protocol v2, our MLServer in each.

A mesh (Istio, Ambassador) shares requests out by `traffic` and copies them to a `shadow`. Without one the API
does so, by the routes that the champion tells it: each predictor has a service of its own. Seldon's own
orchestrator is left out (`seldon.io/no-engine`): a graph of one node needs none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from stacks.cluster.objects import Manifest
from stacks.components.seldon_core.description import (
    CANDIDATE,
    HTTP_PORT,
    Served,
    ServedBundle,
)
from stacks.components.seldon_core.model_pod import is_fetched_by_us, pod_metadata, pod_spec
from stacks.components.seldon_core.renderings.manifest import manifest
from stacks.components.seldon_core.renderings.rendering import Rendering, if_of_champion
from stacks.components.seldon_core.renderings.scaling import (
    disruption_budget,
    may_be_several,
    metrics,
    replicas,
    scales,
)
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.components.trials import CHAMPION

_LONGEST = 63  # characters of a service's name


def render(served: Served, settings: SeldonCoreSettings) -> list[Manifest]:
    """Return the SeldonDeployment, one more for a candidate, and a budget for the champion's pods."""
    shared = served.without(CANDIDATE)
    objects = [_deployment(served.name, shared, shared, settings)]
    candidate = served.in_role(CANDIDATE)
    if candidate is not None:  # of its own: the object of what serves is left alone
        alone = replace(candidate, share=100)
        objects.append(_deployment(_owner(served, candidate), served, (alone,), settings))
    if may_be_several(served.champion, settings):
        objects.append(disruption_budget(served.name, served, served.champion, settings))
    return objects


def address(served: Served, bundle: ServedBundle) -> tuple[str, int]:
    """Return the service that Seldon's operator makes for a predictor: a hash where its name is too long."""
    name = f"{_owner(served, bundle)}-{bundle.role}"
    if len(name) > _LONGEST:
        name = f"seldon-{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"
    return name, HTTP_PORT


def workloads(served: Served, bundle: ServedBundle) -> list[tuple[str, str]]:
    """Return the SeldonDeployment that a version is in."""
    return [("SeldonDeployment", _owner(served, bundle))]


def fault(live: Manifest) -> str | None:
    """Return why a SeldonDeployment is not ready, "" while it is on its way; None once it is."""
    status = live.get("status", {})
    if status.get("state") == "Available":
        return None
    return str(status.get("description", "it failed")) if status.get("state") == "Failed" else ""


def without_trials(applied: Manifest) -> Manifest | None:
    """Return the SeldonDeployment with the champion's predictor alone, which is left as it was applied."""
    if applied["kind"] != "SeldonDeployment":
        return if_of_champion(applied)
    (champion,) = (each for each in applied["spec"]["predictors"] if each["name"] == CHAMPION)
    return {**applied, "spec": {**applied["spec"], "predictors": [{**champion, "traffic": 100}]}}


def _owner(served: Served, bundle: ServedBundle) -> str:
    """Return the name of the SeldonDeployment that a version is in."""
    return served.model(bundle) if bundle.role == CANDIDATE else served.name


def _deployment(
    name: str, served: Served, bundles: Iterable[ServedBundle], settings: SeldonCoreSettings
) -> Manifest:
    spec = {
        "name": name,
        "protocol": "v2",
        "annotations": {"seldon.io/no-engine": "true"},
        "predictors": [_predictor(served, bundle, settings) for bundle in bundles],
    }
    return manifest("SeldonDeployment", name, served, settings, {"spec": spec})


def _predictor(served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> Manifest:
    model = served.model(bundle)
    component: Manifest = {
        "metadata": pod_metadata(served, bundle, settings),
        "spec": pod_spec(served, bundle, settings),
    }
    if scales(bundle, settings):
        component["hpaSpec"] = {
            "minReplicas": settings.replicas,
            "maxReplicas": settings.max_replicas,
            "metricsv2": metrics(settings),
        }
    predictor: Manifest = {
        "name": bundle.role,
        "replicas": replicas(bundle, settings),
        "annotations": {"seldon.io/no-engine": "true"},
        "graph": {
            "name": model,
            "type": "MODEL",
            "endpoint": {"type": "REST"},
            "children": [],
            **_fetched(bundle, settings),
        },
        "componentSpecs": [component],
    }
    if bundle.role == "shadow":
        return {**predictor, "shadow": True, "traffic": 0}
    return {**predictor, "traffic": bundle.share}


def _fetched(bundle: ServedBundle, settings: SeldonCoreSettings) -> Manifest:
    """Return what has Seldon's operator add its own init container; nothing where ours fetches the bundle."""
    if is_fetched_by_us(settings):
        return {}
    secret = {"envSecretRefName": settings.bucket_secret} if settings.bucket_secret else {}
    return {"modelUri": bundle.uri, **secret}


RENDERING = Rendering(
    ("SeldonDeployment", "PodDisruptionBudget"),
    render,
    address,
    workloads,
    fault,
    without_trials,
)
