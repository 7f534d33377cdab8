"""How our objects in a cluster are known: names and labels."""

from __future__ import annotations

from stacks.cluster.objects import MANAGED_BY, MANAGER
from stacks.components.seldon_core.description import Served, ServedBundle

INSTANCE, ROLE = "app.kubernetes.io/instance", "accidents/role"


def labels_of(served: Served, bundle: ServedBundle | None = None) -> dict[str, str]:
    """Return the labels of what a model has, or of what one of its versions has."""
    labels = {
        "app.kubernetes.io/name": "model-server",
        "app.kubernetes.io/part-of": MANAGER,
        MANAGED_BY: MANAGER,
        INSTANCE: served.name,
    }
    return labels if bundle is None else {**labels, ROLE: bundle.role}


def selector_of(served: Served, bundle: ServedBundle) -> dict[str, str]:
    """Return the labels by which pods of a version are found; they never change."""
    return {INSTANCE: served.name, ROLE: bundle.role}
