"""What `stack check` asks to be allowed is what a model's life on a cluster takes, under each runtime."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from stacks.cluster.objects import KINDS
from stacks.components.seldon_core.cluster_serving import rights
from stacks.components.seldon_core.renderings import RENDERINGS
from stacks.components.seldon_core.settings import Runtime, SeldonCoreSettings
from tests.fake_kubernetes import FakeKubernetes, Object
from tests.stacks.seldon_core.conftest import FIRST, GOLDEN, NAME, SECOND, answer, serving_of

SERVING = [runtime for runtime, rendering in RENDERINGS.items() if not rendering.lacking]
WELL: dict[str, Object] = {
    "SeldonDeployment": {"state": "Available"},
    "InferenceService": {"conditions": [{"type": "Ready", "status": "True"}]},
}
_PATH = re.compile(r"/namespaces/[^/]+/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<part>[^/]+))?)?")
_VERBS = {"PATCH": ("create", "patch"), "POST": ("create",), "DELETE": ("delete",)}


@pytest.mark.parametrize("runtime", SERVING)
def test_the_rights_that_a_check_asks_for_are_those_that_are_used(
    runtime: Runtime, fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    operate(fake, monkeypatch)
    settings = SeldonCoreSettings(runtime=runtime, replicas=1, max_replicas=3, ready_timeout=2)
    serving = serving_of(fake, settings)
    serving.switch(NAME, FIRST, GOLDEN)
    served = serving.try_out(NAME, replace(SECOND, role="challenger", share=30), GOLDEN)
    assert [serving.fault(served, bundle) for bundle in served] == ["", ""]
    assert "brings its pods back" in serving.supervision(served)
    assert list(serving.log(served, served.champion, 5))
    serving.end_trials(NAME)
    serving.switch(NAME, SECOND, GOLDEN)
    assert serving.names() == [NAME]
    serving.stop(NAME)
    assert used(fake) <= granted(runtime)
    serving.forget(NAME)  # also what another runtime has left
    assert used(fake) <= {right for each in RENDERINGS for right in granted(each)}


def granted(runtime: Runtime) -> set[tuple[str, str]]:
    """Return verbs, each with its resource, or a part of one."""
    asked = [(what.split("/"), verb) for what, verbs in rights(RENDERINGS[runtime]).items() for verb in verbs]
    return {(verb, "/".join([KINDS[kind][1], *part])) for (kind, *part), verb in asked}


def used(fake: FakeKubernetes) -> set[tuple[str, str]]:
    """Return what the requests so far took, likewise."""
    asked = [(method, found) for method, path in fake.asked if (found := _PATH.search(path))]
    return {
        (verb, "/".join(filter(None, found.group("plural", "part"))))
        for method, found in asked
        for verb in _VERBS.get(method, ("get" if found["name"] else "list",))
    }


def operate(fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be controllers: what is applied is well, and has the Deployments that they make of it."""
    put = fake.handle

    def handle(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        answered = put(method, target, body)
        if method == "PATCH" and body["kind"] in WELL and "dryRun" not in target:
            plural, name = KINDS[body["kind"]][1], body["metadata"]["name"]
            fake.objects[plural, name]["status"] = WELL[body["kind"]]
            fake.objects |= {("deployments", made["metadata"]["name"]): made for made in made_of(body)}
        return answered

    def told(*asked: Any) -> tuple[int, Any]:
        status, content = answer(fake, *asked)
        if asked[1] == "GET" and ("configmaps", NAME) in fake.objects:
            content["parameters"]["routes"] = fake.objects["configmaps", NAME]["data"]["routes.json"]
        return status, content

    monkeypatch.setattr(fake, "handle", handle)
    fake.answer = told


def made_of(applied: Object) -> Iterator[Object]:
    """Yield the Deployments that Seldon's operator, or KServe's, makes."""
    name, spec = applied["metadata"]["name"], applied["spec"]
    if applied["kind"] == "InferenceService":
        yield deployment(f"{name}-predictor", spec["predictor"]["minReplicas"], spec["predictor"])
    for each in spec.get("predictors", ()):
        pods = each["componentSpecs"][0]["metadata"]
        yield deployment(f"{name}-{each['name']}", each["replicas"], pods)


def deployment(name: str, number: int, pods: Object) -> Object:
    metadata = {key: pods[key] for key in ("labels", "annotations")}
    return {
        "kind": "Deployment",
        "metadata": {"name": name, **metadata},
        "spec": {"replicas": number, "template": {"metadata": metadata}},
        "status": dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), number),
    }
