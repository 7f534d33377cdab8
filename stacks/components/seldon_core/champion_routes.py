"""The routes that the champion's pods tell the API, and waiting until they tell those that are written down.

Each node's kubelet brings the ConfigMap to its pods, in about a minute:
docs/decisions/0029-routes-from-metadata.md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

from stacks.cluster.answers import ClusterError
from stacks.cluster.namespace import Namespace
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.labels import selector_of
from stacks.components.seldon_core.model_requests import ModelRequests
from stacks.components.trials import route

_EVERY = 1.0  # seconds between two looks
_TOLD_WITHIN = 90.0  # the kubelet brings a record that has changed to its pods in about a minute
_LED_WITHIN = 180.0  # longer: what it is judged by begins then, and some take a minute and a half
_ASKED_A_POD = 5  # times, for the service chooses the pod
_NO_ROUTES = "[]"


class ChampionRoutes:
    """Of the models of a namespace."""

    def __init__(self, namespace: Namespace, requests: ModelRequests) -> None:
        self._namespace, self._requests = namespace, requests

    def of(self, served: Served) -> str:
        """Return the versions beside the champion as its pods are to tell them."""
        routes = [
            route(served.model(each), each.version, each.digest, each.role, each.share)
            | {"server": self._requests.url(served, each)}
            for each in served.beside
        ]
        return json.dumps(routes)

    def wait_until_told(self, before: Served, kept: Served) -> None:
        """Wait, not for ever, until no pod of the champion leads to a version that is about to go.

        One that does not answer goes at once: the champion answers for it.
        """
        going = [bundle for bundle in before.beside if bundle not in kept.beside]
        if all(self._requests.wrong_answer(before, bundle) for bundle in going):
            return
        versions = " and ".join(bundle.version for bundle in going)
        print(f"  until nobody is led to version {versions} any more ...", file=sys.stderr, flush=True)
        end = time.monotonic() + _TOLD_WITHIN
        while self._leads_aside(kept) and time.monotonic() < end:
            time.sleep(_EVERY)

    def come_to_lead(self, now: Served, bundle: ServedBundle) -> bool:
        """Wait, not for ever, until each pod of the champion leads to a version: until then others answer."""
        print(f"  until the API is led to version {bundle.version} ...", file=sys.stderr, flush=True)
        end = time.monotonic() + _LED_WITHIN
        while not self._tells(now):
            if time.monotonic() >= end:
                return False
            time.sleep(_EVERY)
        return True

    def not_led(self, now: Served, bundle: ServedBundle) -> ClusterError:
        """Return the error that says that they have not come to lead there, and what to do."""
        at = f"kubectl --namespace {self._namespace.name} get pods --output wide"
        return ClusterError(
            f"After {_LED_WITHIN:g} s not every pod of the champion leads to version {bundle.version} as "
            f"{bundle.role}. Each node's kubelet brings ConfigMap {now.name} to its pods, in about a minute. "
            f"See whether nodes or pods are overloaded ({at}), and run the command again."
        )

    def _leads_aside(self, served: Served) -> bool:
        """Whether a pod of the champion tells other routes than these; none does where none answers."""
        try:
            return any(routes != self.of(served) for routes in self._of_pods(served))
        except ClusterError:
            return False

    def _tells(self, served: Served) -> bool:
        """Whether the pods of the champion tell the routes as they are written down."""
        try:
            return all(routes == self.of(served) for routes in self._of_pods(served))
        except ClusterError:
            return False

    def _of_pods(self, served: Served) -> Iterator[str]:
        """Yield what the champion's pods tell, as the API asks them. Raises ClusterError if one is silent."""
        pods = self._namespace.list("Pod", selector_of(served, served.champion))
        for _ in range(_ASKED_A_POD * len(pods)):
            metadata = self._requests.metadata(served, served.champion)
            yield metadata.get("parameters", {}).get("routes", _NO_ROUTES)
