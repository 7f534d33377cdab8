"""A fake cluster, and the deployer on it. Real clusters: tests/cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from stacks.cluster.namespace import Namespace
from stacks.components.seldon_core.cluster_serving import ClusterServing
from stacks.components.seldon_core.description import ServedBundle
from stacks.components.seldon_core.settings import SeldonCoreSettings
from tests.fake_kubernetes import FakeKubernetes, fake_kubernetes

NAME = "severity"
GOLDEN = {"request": {"inputs": []}, "p_severe": [0.25, 0.5]}
FIRST, SECOND = (ServedBundle(str(k), str(k) * 64, f"s3://bucket/{k}") for k in (1, 2))
SETTINGS = SeldonCoreSettings(runtime="deployment", ready_timeout=2)


@pytest.fixture
def fake() -> Iterator[FakeKubernetes]:
    with fake_kubernetes() as fake:
        fake.answer = lambda *asked: answer(fake, *asked)
        yield fake


@pytest.fixture
def serving(fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> ClusterServing:
    monkeypatch.setattr("stacks.components.seldon_core.readiness._HOLDS", 0.5)
    return serving_of(fake)


def serving_of(fake: FakeKubernetes, settings: SeldonCoreSettings = SETTINGS) -> ClusterServing:
    """Another client of the same cluster."""
    configuration = client.Configuration(host=fake.url)
    configuration.retries = False
    return ClusterServing(Namespace(client.ApiClient(configuration), fake.namespace, 5), settings)


def answer(
    fake: FakeKubernetes, service: str, method: str, path: str, body: Any, wrong: str = ""
) -> tuple[int, Any]:
    """Answer as the pods of a Deployment do, by the bundle in its template; as others do if it is `wrong`."""
    deployment = fake.objects.get(("deployments", service))
    if deployment is None:
        return 503, "no endpoints available"
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    version, digest = annotations["accidents/version"], annotations["accidents/digest"]
    if method == "GET":
        record = fake.objects.get(("configmaps", service))  # of the champion's name: it tells the routes
        told = {"routes": record["data"]["routes.json"]} if record else {}
        return 200, {"versions": [version], "parameters": {"digest": digest, **told}}
    probabilities = [0.9, 0.9] if version == wrong else GOLDEN["p_severe"]
    outputs = [{"name": "p_severe", "data": probabilities}]
    return 200, {"model_version": version, "parameters": {"digest": digest}, "outputs": outputs}


def running(fake: FakeKubernetes) -> dict[str, str]:
    """Return the version in each Deployment."""
    return {
        name: fake.objects["deployments", name]["spec"]["template"]["metadata"]["annotations"][
            "accidents/version"
        ]
        for name in fake.names("deployments")
    }


def routes(fake: FakeKubernetes) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads(fake.objects["configmaps", NAME]["data"]["routes.json"])
    return content
