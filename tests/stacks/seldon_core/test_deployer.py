"""The deployer's services in ZenML's store: one a model and place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from kubernetes import client
from zenml.enums import StackComponentType

from stacks.cluster.namespace import Namespace
from stacks.components.seldon_core.config import SeldonCoreDeployerConfig
from stacks.components.seldon_core.deployer import SeldonCoreDeployer
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.endpoints.component import Component
from stacks.endpoints.protocol import BundleReference, DeploymentError
from stacks.endpoints.seldon_core import SeldonCoreEndpoints
from stacks.errors import StackError
from tests.fake_kubernetes import FakeKubernetes, fake_kubernetes
from tests.stacks.seldon_core.conftest import FIRST, NAME


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, FakeKubernetes]]:
    """Two clusters, by the context of the kubeconfig, with namespaces of one name."""
    with ExitStack() as held:
        fakes = {context: held.enter_context(fake_kubernetes()) for context in ("aws", "gcp")}
        for context, fake in fakes.items():
            authority = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": f"of {context}"}}
            fake.objects["configmaps", "kube-root-ca.crt"] = authority

        def namespace_of(settings: SeldonCoreSettings) -> Namespace:
            configuration = client.Configuration(host=fakes[settings.context].url)
            return Namespace(client.ApiClient(configuration), settings.namespace, 5)

        for module in ("deployer", "cluster_serving"):
            monkeypatch.setattr(f"stacks.components.seldon_core.{module}.namespace_of", namespace_of)
        yield fakes


def deployer(context: str, namespace: str = "accidents", **settings: Any) -> SeldonCoreDeployer:
    now = datetime.now(UTC)
    config = SeldonCoreDeployerConfig(context=context, namespace=namespace, **settings)
    return SeldonCoreDeployer(
        name=context, id=uuid4(), config=config, flavor="seldon_core",
        type=StackComponentType.MODEL_DEPLOYER, user=None, created=now, updated=now,
    )  # fmt: skip


def test_a_service_of_another_cluster_with_the_same_namespace_is_left_alone(
    clusters: Mapping[str, FakeKubernetes],
) -> None:
    service: Any = SimpleNamespace(config=deployer("aws").deployment(NAME, FIRST))
    assert deployer("aws").is_here(service)
    assert not deployer("gcp").is_here(service)
    assert not deployer("aws", "another").is_here(service)


def test_a_service_that_does_not_say_its_cluster_is_known_by_its_namespace(
    clusters: Mapping[str, FakeKubernetes],
) -> None:
    del clusters["aws"].objects["configmaps", "kube-root-ca.crt"]
    service: Any = SimpleNamespace(config=deployer("aws").deployment(NAME, FIRST))
    assert service.config.identity == ""
    assert deployer("gcp").is_here(service)


def test_a_runtime_that_does_not_serve_yet_is_refused_before_anything_is_applied(
    clusters: Mapping[str, FakeKubernetes],
) -> None:
    seldon2 = deployer("aws", runtime="seldon2")
    with pytest.raises(StackError, match=r"Runtime seldon2 .* does not serve yet: its agent wants"):
        seldon2.reached()
    settings = {"runtime": "seldon2", "context": "aws"}
    endpoint = SeldonCoreEndpoints(Component("seldon_core", settings, lambda: seldon2)).endpoint(NAME)
    golden: Any = SimpleNamespace(request=dict, p_severe=SimpleNamespace(tolist=list))
    with pytest.raises(DeploymentError, match=r"Runtime seldon2 .* does not serve yet"):
        endpoint.deploy(BundleReference(NAME, "1", "1" * 64, "s3://bucket/1"), golden)
    assert not [method for method, _ in clusters["aws"].asked if method != "GET"]
