"""A Kubernetes object as plain data, and what every one of ours has."""

from __future__ import annotations

from stacks.cluster.objects import KINDS, Manifest
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.labels import labels_of
from stacks.components.seldon_core.settings import SeldonCoreSettings


def manifest(
    kind: str,
    name: str,
    served: Served,
    settings: SeldonCoreSettings,
    content: Manifest,
    bundle: ServedBundle | None = None,
) -> Manifest:
    """Return an object of ours; `content` is what its kind has beside metadata."""
    return {
        "apiVersion": KINDS[kind][0],
        "kind": kind,
        "metadata": {"name": name, "namespace": settings.namespace, "labels": labels_of(served, bundle)},
        **content,
    }


def condition(live: Manifest, kind: str) -> Manifest:
    """Return a condition of an object's status, {} if it says nothing of it."""
    conditions = live.get("status", {}).get("conditions", ())
    return next((dict(each) for each in conditions if each.get("type") == kind), {})


def is_seen(live: Manifest) -> bool:
    """Whether its controller has looked at an object since it was changed."""
    generation: int = live["metadata"].get("generation", 0)
    return bool(live.get("status", {}).get("observedGeneration", 0) >= generation)
