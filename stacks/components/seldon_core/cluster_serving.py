"""A model in a cluster: what serves is made so, proved, written down and read back.

What is served is written down in a ConfigMap, so that any client, at any time, knows it. The champion's pods
tell the routes from the same ConfigMap (docs/decisions/0029-routes-from-metadata.md).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from stacks.cluster.answers import ClusterError
from stacks.cluster.lease import leased
from stacks.cluster.namespace import Namespace, find_namespace, is_pod
from stacks.cluster.objects import MANAGED_BY, MANAGER, Manifest, annotation
from stacks.cluster.pod_troubles import is_ending, is_ready
from stacks.components.seldon_core.applied_objects import AppliedObjects, added_by, differs, named
from stacks.components.seldon_core.champion_routes import ChampionRoutes
from stacks.components.seldon_core.description import (
    CANDIDATE,
    OBJECTS,
    RECORD,
    ROUTES,
    RUNTIME,
    Served,
    ServedBundle,
)
from stacks.components.seldon_core.labels import selector_of
from stacks.components.seldon_core.microservice import MicroserviceServing
from stacks.components.seldon_core.model_requests import ModelRequests
from stacks.components.seldon_core.readiness import Readiness
from stacks.components.seldon_core.renderings import RENDERINGS
from stacks.components.seldon_core.renderings.manifest import manifest
from stacks.components.seldon_core.renderings.rendering import Rendering
from stacks.components.seldon_core.serving_protocol import ServedModels
from stacks.components.seldon_core.settings import MICROSERVICE, SeldonCoreSettings
from stacks.components.trials import CHAMPION
from stacks.errors import StackError


class ClusterServing:
    """The models of a namespace."""

    reads_bundles = False  # an init container fetches them

    def __init__(self, namespace: Namespace, settings: SeldonCoreSettings) -> None:
        self._namespace, self.settings = namespace, settings
        self._rendering = RENDERINGS[settings.runtime]
        self._objects = AppliedObjects(namespace, self._rendering)
        self._readiness = Readiness(namespace, self._rendering, settings)
        self._requests = ModelRequests(namespace, self._rendering)
        self._routes = ChampionRoutes(namespace, self._requests)

    @property
    def no_trials(self) -> str:
        """Why no version can be on trial: who asks from outside is led to nobody beside the champion."""
        at = self.settings.address
        return at and f"{at} (`address` of the model deployer) leads to the champion alone"

    def reached(self) -> str:
        """Return what was reached, in words.

        Raises ClusterError if it was not, or a right, the namespace or a kind that is made is lacking.
        """
        reached = self._namespace.require_rights(rights(self._rendering))
        for kind in self._rendering.kinds:
            self._namespace.require_kind(kind)
        return reached

    def names(self) -> list[str]:
        """Return the models that this runtime serves here, running or not."""
        records = self._namespace.list("ConfigMap", {MANAGED_BY: MANAGER})
        ours = [record for record in records if self._runtime(record) == self.settings.runtime]
        return sorted(record["metadata"]["name"] for record in ours if RECORD in record.get("data", {}))

    def served(self, name: str) -> Served | None:
        """Return what is served of a model.

        Raises ClusterError if its record is damaged, or another runtime serves it.
        """
        record = self._namespace.read("ConfigMap", name)
        if record is None or RECORD not in record.get("data", {}):
            return None
        try:
            served = Served.from_json(record["data"][RECORD])
        except (ValueError, KeyError, TypeError) as error:
            where = f"--namespace {self._namespace.name} configmap {name}"
            raise ClusterError(
                f"ConfigMap {name} in namespace {self._namespace.name} does not say what is served "
                f"({error!r}). Delete it (kubectl delete {where}) and deploy again."
            ) from error
        runtime = self._runtime(record)
        if runtime != self.settings.runtime and not served.stopped:
            raise ClusterError(
                f"{name} is served in namespace {self._namespace.name} by runtime {runtime} of the model "
                f"deployer, and this stack has {self.settings.runtime}. Stop it first, with the stack that "
                "deployed it: python run.py stop --stack NAME."
            )
        return served

    def switch(self, name: str, bundle: ServedBundle, golden: dict[str, Any]) -> Served:
        """Have a version be the champion, alone, once it has given the golden answers in pods of its own.

        Raises ClusterError or StackError with the reason; what served before serves on.
        """
        with self._changing(name):
            before = self.served(name) or self._served_by_pods(name)
            now = Served(name, replace(bundle, role=CHAMPION, share=100))
            if before is None or before.stopped:  # nothing is known to serve
                self._prove(now, bundle, golden)
                return self._change(None, now)
            if (bundle.version, bundle.digest) == (before.champion.version, before.champion.digest):
                before = self._without_trials(before)  # taken back: they answer nobody, whatever comes
            self._prove(before, bundle, golden)
            return self._change(before, now)

    def try_out(self, name: str, bundle: ServedBundle, golden: dict[str, Any]) -> Served:
        """Have a version in a role beside the champion, once it has given the golden answers.

        Returns when the champion leads to it: what it answers from then on is what it is judged by. Raises
        ClusterError if it does not, and all is as it was: it would be judged by what nobody asked it.
        """
        if self.no_trials:
            raise ClusterError(
                f"{self.no_trials}, so version {bundle.version} cannot be on trial as well: an API outside "
                "of the cluster would never ask it. Have the API run in the cluster, and leave `address` out."
            )
        with self._changing(name):
            before = self._required(name)
            was = self._applied(before)
            self._prove(before, bundle, golden)
            now = self._change(before, before.trying(bundle))
            if not self._routes.come_to_lead(now, bundle):
                error = self._routes.not_led(now, bundle)
                with _telling(error):
                    self._take_back(before, now, was)
                raise error
            return now

    def end_trials(self, name: str) -> tuple[ServedBundle, ...]:
        """Have the champion answer everything; return what was beside it."""
        with self._changing(name):
            before = self.served(name)
            if before is None:
                return ()
            self._without_trials(before)
            return before.beside

    def stop(self, name: str) -> None:
        """Take away what runs; what is served stays known."""
        with self._changing(name):
            before = self.served(name)
            if before is not None:
                self._record(replace(before.sharing(()), stopped=True), [])
            self._objects.prune(_nothing_of(name), [])

    def forget(self, name: str) -> None:
        """Take away what runs, by whatever runtime, and what is known of it."""
        kinds = {kind for rendering in RENDERINGS.values() for kind in rendering.kinds}
        with self._changing(name):
            self._objects.prune(_nothing_of(name), [], (*sorted(kinds), "ConfigMap"))

    def fault(self, served: Served, bundle: ServedBundle) -> str:
        """Return why a version does not serve, as it is now; empty if it does."""
        wrong = self._requests.wrong_answer(served, bundle)
        return wrong and (
            self._readiness.not_ready(served, bundle).reason or wrong
        )  # pods may come and go meanwhile

    def drift(self, served: Served) -> list[str]:
        """Return the objects that are not, or not there, as these settings have them."""
        return [
            f"{wanted['kind']} {wanted['metadata']['name']}"
            for wanted in self._rendering.render(served, self.settings)
            if differs(self._namespace, wanted)
        ]

    def additions(self, served: Served) -> list[str]:
        """Return the objects that others have added to, each with who did."""
        if self.settings.adopt:  # what was taken over has fields of who made it
            return []
        every = (named(wanted) for wanted in self._rendering.render(served, self.settings))
        live = {key: there for key in every if (there := self._namespace.read(*key))}
        added = {key: added_by(there) for key, there in live.items()}
        return [f"{kind} {name} ({', '.join(who)})" for (kind, name), who in added.items() if who]

    def supervision(self, served: Served) -> str:
        """Say who brings its pods back, and what has changed since they were applied, by whom."""
        kept = f"Kubernetes brings its pods back (namespace {self._namespace.name})"
        try:
            changed, added = self.drift(served), self.additions(served)
        except ClusterError as error:  # a webhook that is away, an object of somebody else's: it serves on
            return f"{kept}; whether somebody has changed its objects cannot be told: {error}"
        words = [kept]
        if changed:
            words.append(f"{self._why_it_differs(served)}: {', '.join(changed)} (deploy again)")
        if added:
            words.append(f"others have added to {', '.join(added)}: take it back with kubectl")
        return "; ".join(words)

    def metadata(self, served: Served, bundle: ServedBundle) -> dict[str, Any]:
        """Return what the model server says of a version."""
        return self._requests.metadata(served, bundle)

    def predict(self, served: Served, bundle: ServedBundle, request: dict[str, Any]) -> list[float]:
        """Return the output p_severe of a V2 request."""
        return self._requests.predict(served, bundle, request)

    def url(self, served: Served, bundle: ServedBundle) -> str:
        """Return where a version is asked within the cluster, without /v2."""
        return self._requests.url(served, bundle)

    def prediction_url(self, served: Served, bundle: ServedBundle) -> str:
        """Return where V2 requests go: to the address that is set, else within the cluster."""
        return f"{self._address(served)}/v2/models/{served.model(bundle)}/infer"

    def health_url(self, served: Served, bundle: ServedBundle) -> str:
        """Return what answers 200 once the model is ready, at the same place."""
        return f"{self._address(served)}/v2/models/{served.model(bundle)}/ready"

    def v2_address(self, served: Served) -> str | None:
        """Return the address that is set, in a pod of the cluster the champion's service; elsewhere None."""
        return self._address(served) if self.settings.address or is_pod() else None

    def how_to_follow(self, served: Served, bundle: ServedBundle) -> str:
        """Return the command that shows what its pods log from now on."""
        labels = ",".join(f"{key}={value}" for key, value in selector_of(served, bundle).items())
        return f"kubectl --namespace {self._namespace.name} logs --follow --selector {labels}"

    def log(self, served: Served, bundle: ServedBundle, lines: int) -> Iterator[str]:
        """Yield the last lines that each model server of a version has logged."""
        for pod in self._namespace.list("Pod", selector_of(served, bundle)):
            container = pod["spec"]["containers"][0]["name"]  # KServe gives it another name than ours
            yield from self._namespace.logs(pod["metadata"]["name"], container, lines).splitlines()

    def _changing(self, name: str) -> AbstractContextManager[None]:
        """Keep others from changing a model meanwhile, from whatever machine."""
        return leased(self._namespace, f"{name}-changes", f"change what serves {name}")

    def _runtime(self, record: Manifest) -> str:
        return str(record.get("data", {}).get(RUNTIME, self.settings.runtime))

    def _address(self, served: Served) -> str:
        return self.settings.address.rstrip("/") or self.url(served, served.champion)

    def _required(self, name: str) -> Served:
        served = self.served(name)
        if served is None or served.stopped:
            raise ClusterError(f"{name} is not served: deploy a version first (run.py --pipeline deploy).")
        return served

    def _change(self, before: Served | None, now: Served) -> Served:
        """Apply what is to be served, wait for it and write it down; else apply what was."""
        wanted = self._rendering.render(now, self.settings)
        was = self._objects.live(wanted) if before is None else self._applied(before)
        kept = None if before is None else before.kept_in(now)
        if kept is not None and kept != before:
            self._record(kept, was)  # nobody is led to what is about to go
        try:
            if before is not None and kept is not None:
                self._routes.wait_until_told(before, kept)
            self._objects.put(now, wanted)
            for bundle in now:
                self._readiness.wait(now, bundle)
            self._record(now, wanted)
        except BaseException as cause:
            with _telling(cause):
                self._undo(before, now, was)
            raise
        self._objects.prune(now, wanted)
        return now

    def _without_trials(self, before: Served) -> Served:
        """Have the champion answer everything, as it is; nobody is led elsewhere any more, whatever fails."""
        if not before.beside:
            return before
        now, was = before.sharing(()), self._applied(before)
        self._record(now, was)
        self._routes.wait_until_told(before, now)
        wanted = [kept for kept in map(self._rendering.without_trials, was) if kept]
        self._objects.apply(wanted)
        self._record(now, wanted)
        self._objects.prune(now, wanted)
        return now

    def _served_by_pods(self, name: str) -> Served | None:
        """Return what pods of a champion say of themselves, where its record is lost; None if none serve."""
        pods = self._namespace.list("Pod", selector_of(_nothing_of(name), _nothing_of(name).champion))
        serving = [pod for pod in pods if is_ready(pod) and not is_ending(pod)]
        identities = {
            tuple(annotation(pod, f"accidents/{key}") or "" for key in ("version", "digest", "uri"))
            for pod in serving
        }
        if len(identities) != 1 or not all(next(iter(identities))):
            return None
        version, digest, uri = identities.pop()
        return Served(name, ServedBundle(version, digest, uri))

    def _why_it_differs(self, served: Served) -> str:
        """Tell who has to do with objects that are not as these settings have them."""
        written = self._written(served)
        if not written:
            return "changed since, by others or by this stack's settings"
        wanted = json.loads(json.dumps(self._rendering.render(served, self.settings)))
        return "changed since by others" if written == wanted else "not as this stack's settings have it now"

    def _applied(self, served: Served) -> list[Manifest]:
        """Return the objects as they were applied; where that is not written down, those that are there.

        Where there are none, as they would be now.
        """
        written = self._written(served)
        if written:
            return written
        rendered = self._rendering.render(served, self.settings)
        return self._objects.live(rendered) or rendered

    def _written(self, served: Served) -> list[Manifest]:
        """Return the objects as it is written down that they were applied; none where it is not."""
        record = self._namespace.read("ConfigMap", served.name) or {}
        try:
            written: list[Manifest] = json.loads(record.get("data", {}).get(OBJECTS, "[]"))
        except ValueError:  # somebody has edited it
            written = []
        return written

    def _prove(self, served: Served, bundle: ServedBundle, golden: dict[str, Any]) -> None:
        """Have a version give the golden answers in pods of its own, which nobody is led to; then they go.

        Objects of what serves are left alone: settings that are new, such as an image, are proved first, too.
        """
        candidate = replace(bundle, role=CANDIDATE, share=0)
        tried = served.with_beside(candidate)
        there = self._applied(served)
        names = {named(each) for each in (*there, *self._rendering.render(served, self.settings))}
        aside = [each for each in self._rendering.render(tried, self.settings) if named(each) not in names]
        try:
            self._objects.apply(aside)
            self._readiness.wait(tried, candidate)
            self._requests.require_golden(tried, candidate, golden)
        except BaseException as cause:
            with _telling(cause):
                self._objects.prune(served, there)
            raise
        self._objects.prune(served, there)

    def _undo(self, before: Served | None, now: Served, was: list[Manifest]) -> None:
        serves_on = "; what served before serves on" if was else ""
        print(f"  It is taken back{serves_on}.", file=sys.stderr, flush=True)
        self._objects.put(now, was)
        if before is not None:
            self._record(before, was)
        self._objects.prune(now, was)

    def _take_back(self, before: Served, now: Served, was: list[Manifest]) -> None:
        """Undo what was written down and serves already: first nobody is led to what goes."""
        kept = now.kept_in(before)
        if kept != now:
            self._record(kept, self._applied(now))
            self._routes.wait_until_told(now, kept)
        self._undo(before, now, was)

    def _record(self, served: Served, objects: list[Manifest]) -> None:
        data = {
            RECORD: served.to_json(), ROUTES: self._routes.of(served), RUNTIME: self.settings.runtime,
            OBJECTS: json.dumps(objects, sort_keys=True),
        }  # fmt: skip
        self._namespace.apply(manifest("ConfigMap", served.name, served, self.settings, {"data": data}))


def namespace_of(settings: SeldonCoreSettings) -> Namespace:
    """Return the namespace that settings name. Raises ClusterError if no cluster is known."""
    return find_namespace(settings.namespace, settings.context, settings.request_timeout, settings.adopt)


def serving_of(settings: SeldonCoreSettings) -> ServedModels:
    """Return what is served where settings say. Raises ClusterError if no cluster is known that is needed."""
    if settings.runtime == MICROSERVICE:
        return MicroserviceServing(settings.here())
    return ClusterServing(namespace_of(settings), settings.here())


@contextmanager
def _telling(cause: BaseException) -> Iterator[None]:
    """Tell why something was to be taken back, also if that fails as well."""
    try:
        yield
    except StackError as error:
        why = str(cause) or "It was interrupted."
        raise ClusterError(f"{why} It could not be taken back, either: {error} Deploy again.") from cause


def rights(rendering: Rendering) -> dict[str, tuple[str, ...]]:
    """Return what a login must be allowed, by kind, or by kind and a part of it.

    To forget a model takes the rights of every rendering.
    """
    applied = ("create", "get", "list", "patch", "delete")
    made = dict.fromkeys(("ConfigMap", *rendering.kinds), applied)
    nothing = _nothing_of("")
    looked_at = [kind for kind, _ in rendering.workloads(nothing, nothing.champion)]
    return {
        **made,
        **{kind: ("get",) for kind in looked_at if kind not in made},  # which a controller makes
        "Lease": ("create", "get", "patch", "delete"),
        "Pod": ("list",),
        "Pod/log": ("get",),
        "Service/proxy": ("get", "create"),
    }


def _nothing_of(name: str) -> Served:
    return Served(name, ServedBundle("", "", ""))
