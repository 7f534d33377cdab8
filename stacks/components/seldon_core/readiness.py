"""Whether a version's pods are ready as they are to be, why not, and waiting until they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from stacks.cluster.answers import ClusterError
from stacks.cluster.namespace import Namespace
from stacks.cluster.objects import Manifest, annotation
from stacks.cluster.pod_troubles import has_ended, is_ending, is_ready, trouble_of
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.labels import selector_of
from stacks.components.seldon_core.model_pod import SETTINGS, pod_metadata
from stacks.components.seldon_core.renderings.rendering import Rendering
from stacks.components.seldon_core.renderings.scaling import replicas
from stacks.components.seldon_core.settings import SeldonCoreSettings

_EVERY = 1.0  # seconds between two looks
_SHOWN_EVERY = 15.0
_HOLDS = 10.0  # for so long a reason must stand before nobody waits any more
_FULL, _FULL_HOLDS = (
    "exceeded quota",
    30.0,
)  # it is free again when other pods end


class Waiting(NamedTuple):
    """Why a version is not ready, empty if it is; whether waiting is no use; how many new pods are ready."""

    reason: str
    hopeless: bool
    ready: int


class Readiness:
    """Of the versions that a runtime's rendering has made in a namespace."""

    def __init__(self, namespace: Namespace, rendering: Rendering, settings: SeldonCoreSettings) -> None:
        self._namespace, self._rendering, self._settings = namespace, rendering, settings

    def wait(self, served: Served, bundle: ServedBundle) -> None:
        """Wait until a version is ready. Raises ClusterError with the reason if it is hopeless, or late."""
        begun = shown = time.monotonic()
        hopeful = moved = begun  # when it was so last: controllers tell of failures that pass
        most = 0
        while True:
            reason, hopeless, ready = self.not_ready(served, bundle)
            if not reason:
                return
            now = time.monotonic()
            hopeful = hopeful if hopeless else now
            settled = now - hopeful >= (_FULL_HOLDS if _FULL in reason else _HOLDS)
            if ready > most:  # pods are replaced one by one
                most, moved = ready, now
            if settled or now - moved > self._settings.ready_timeout:
                late = "" if settled else f" within {self._settings.ready_timeout:g} s (ready_timeout)"
                raise ClusterError(f"Version {bundle.version} did not become ready{late}. {reason}")
            if now - shown >= _SHOWN_EVERY:
                shown = now
                print(
                    f"  version {bundle.version}, {now - begun:.0f} s: {reason}", file=sys.stderr, flush=True
                )
            time.sleep(_EVERY)

    def not_ready(self, served: Served, bundle: ServedBundle) -> Waiting:
        """Return why a version is not ready, empty if it is; whether waiting is no use; new pods that are."""
        faults = [fault for fault in self._faults(served, bundle) if fault is not None]
        if not faults:
            return Waiting("", False, 0)
        pods = self._namespace.list("Pod", selector_of(served, bundle))
        known = (None, self._settings_of(served, bundle))
        new = [pod for pod in pods if annotation(pod, SETTINGS) in known]
        ready = [pod for pod in new if is_ready(pod)]
        # Of what has ended another is made; what serves has got over what ended it before.
        trouble = trouble_of([pod for pod in new if not has_ended(pod) and pod not in ready])
        if trouble is None:
            words = " ".join(filter(None, faults))
            reason = words or f"Its pods are on their way ({len(ready)} of {len(new)} are ready)."
            return Waiting(reason, bool(words), len(ready))
        return Waiting(f"{trouble.words}{self._namespace.last_words(new)}", trouble.hopeless, len(ready))

    def _settings_of(self, served: Served, bundle: ServedBundle) -> str:
        return str(pod_metadata(served, bundle, self._settings)["annotations"][SETTINGS])

    def _faults(self, served: Served, bundle: ServedBundle) -> Iterator[str | None]:
        for kind, name in self._rendering.workloads(served, bundle):
            live = self._namespace.read(kind, name)
            missing = f"{kind} {name} is not there: deploy again."
            yield missing if live is None else self._rendering.fault(live)
        if self._rendering.own_pods:
            pods = self._namespace.list("Pod", selector_of(served, bundle))
            yield pods_fault(pods, self._settings_of(served, bundle), replicas(bundle, self._settings))


def pods_fault(pods: list[Manifest], settings: str, wanted: int) -> str | None:
    """Return "" until as many pods as wanted are ready as they are to be, and none otherwise; None then."""
    there = [pod for pod in pods if not is_ending(pod) and not has_ended(pod)]
    ours = [pod for pod in there if annotation(pod, SETTINGS) == settings]
    ready = [pod for pod in ours if is_ready(pod)]
    return None if len(ready) >= wanted and len(ours) == len(there) else ""
