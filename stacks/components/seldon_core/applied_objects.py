"""The objects of a model in a namespace: applied, compared with what is there, and deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stacks.cluster.namespace import Namespace
from stacks.cluster.objects import MANAGED_BY, MANAGER, Manifest
from stacks.components.seldon_core.description import Served
from stacks.components.seldon_core.labels import INSTANCE
from stacks.components.seldon_core.renderings.rendering import Rendering
from stacks.components.seldon_core.renderings.scaling import AUTOSCALER

# What the server writes into an object, and nobody applies.
_OF_THE_SERVER = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
_NOT_OURS = (*_OF_THE_SERVER, "annotations")
REPLICAS_MANAGER = f"{MANAGER}-replicas"
# Who may have fields of a spec beside us: `manager` is the program of Seldon's operator, and of KServe's.
_EXPECTED = (MANAGER, REPLICAS_MANAGER, "kube-controller-manager", "manager")


class AppliedObjects:
    """What a runtime's rendering has made, or is to make, in a namespace."""

    def __init__(self, namespace: Namespace, rendering: Rendering) -> None:
        self._namespace, self._rendering = namespace, rendering

    def live(self, wanted: list[Manifest]) -> list[Manifest]:
        """Return those of some objects that are there and ours, as they are: where no record has them."""
        there = (self._namespace.read(*named(each)) for each in wanted)
        ours = (
            each for each in there if each and each["metadata"].get("labels", {}).get(MANAGED_BY) == MANAGER
        )
        return [_content(each, _OF_THE_SERVER) for each in ours]

    def put(self, served: Served, wanted: list[Manifest]) -> None:
        """Apply what is to be there, once an autoscaler that is not has gone, which would set the number."""
        if AUTOSCALER in self._rendering.kinds:
            self.prune(served, wanted, (AUTOSCALER,))
        self.apply(wanted)

    def apply(self, manifests: Iterable[Manifest]) -> None:
        """Apply objects in their order; a Deployment that leaves its number out keeps the pods it has."""
        for wanted in manifests:
            if wanted["kind"] == "Deployment" and "replicas" not in wanted["spec"]:
                self._hand_over_replicas(wanted)
            self._namespace.apply(wanted)

    def _hand_over_replicas(self, wanted: Manifest) -> None:
        """Have another manager keep the number of pods, if it is ours so far.

        What only we have applied goes with the apply that leaves it out: one pod, until the autoscaler looks.
        """
        live = self._namespace.read("Deployment", wanted["metadata"]["name"]) or {"metadata": {}}
        if any("f:replicas" in fields for manager, fields in _managed(live) if manager == MANAGER):
            number = {"spec": {"replicas": live["spec"]["replicas"]}}
            bare = {key: wanted[key] for key in ("apiVersion", "kind", "metadata")}
            self._namespace.apply(bare | number, manager=REPLICAS_MANAGER)

    def prune(self, served: Served, kept: list[Manifest], kinds: Iterable[str] = ()) -> None:
        """Delete what is ours, of this model, of these kinds or the runtime's, and is not wanted any more."""
        wanted = set(map(named, kept))
        labels = {INSTANCE: served.name, MANAGED_BY: MANAGER}
        for kind in kinds or self._rendering.kinds:
            for there in self._namespace.list(kind, labels):
                if there["metadata"].get("ownerReferences"):  # made by a controller, which sees to it
                    continue
                if named(there) not in wanted:
                    self._namespace.delete(kind, there["metadata"]["name"])


def named(manifest: Manifest) -> tuple[str, str]:
    """Return kind and name, which tell an object from all others of a namespace."""
    return manifest["kind"], manifest["metadata"]["name"]


def differs(namespace: Namespace, wanted: Manifest) -> bool:
    """Whether applying an object would change it."""
    live = namespace.read(wanted["kind"], wanted["metadata"]["name"])
    return live is None or _content(live) != _content(namespace.apply(wanted, dry_run=True))


def added_by(live: Manifest) -> list[str]:
    """Return who has added fields to an object's spec, which applying it leaves as they are.

    `kubectl set env` and such. Not who scales it, nor what `kubectl rollout restart` notes in an annotation.
    """
    managed = list(_managed(live))
    ours = [fields for manager, fields in managed if manager in _EXPECTED]
    return sorted({who for who, fields in managed if who not in _EXPECTED and _has_more(fields, ours)})


def _managed(live: Manifest) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield who has which fields of an object's spec, but for what came by a subresource, such as scale."""
    for each in live["metadata"].get("managedFields", ()):
        if not each.get("subresource") and "f:spec" in each.get("fieldsV1", {}):
            yield each["manager"], each["fieldsV1"]["f:spec"]


def _has_more(fields: dict[str, Any], others: list[dict[str, Any]]) -> bool:
    """Whether there is a field, at any depth, that none of the others has; `.` is an item itself."""
    for name in fields.keys() - {".", "f:annotations"}:
        there, below = [each[name] for each in others if name in each], fields[name]
        if _has_more(below, there) if below.keys() - {"."} else not there:
            return True
    return False


def _content(live: Manifest, without: Iterable[str] = _NOT_OURS) -> Manifest:
    metadata = {key: value for key, value in live["metadata"].items() if key not in without}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}
