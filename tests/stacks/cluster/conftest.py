"""A fake cluster, and a namespace of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stacks.cluster.namespace import Namespace
from tests.fake_kubernetes import FakeKubernetes, fake_kubernetes


@pytest.fixture
def fake() -> Iterator[FakeKubernetes]:
    with fake_kubernetes() as fake:
        yield fake


@pytest.fixture
def namespace(fake: FakeKubernetes) -> Namespace:
    from kubernetes import client

    configuration = client.Configuration(host=fake.url)
    configuration.retries = False
    return Namespace(client.ApiClient(configuration), fake.namespace, 5)
