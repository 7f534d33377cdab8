"""A model on a real cluster, with the pipelines' rights: proved, rolled out, tried beside, taken back."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from stacks.cluster.answers import ClusterError
from stacks.components.seldon_core.applied_objects import added_by, differs
from stacks.components.seldon_core.cluster_serving import ClusterServing
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.renderings import RENDERINGS
from stacks.components.seldon_core.settings import Runtime, SeldonCoreSettings
from stacks.errors import StackError
from tests.cluster.conftest import TAG, TestNamespace
from tests.model_servers import NAME, Version

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module", params=["deployment", "seldon"])
def serving(request: pytest.FixtureRequest, cluster: TestNamespace) -> ClusterServing:
    """Small pods, one of each: a single node must hold a champion, a challenger and a candidate."""
    if request.param == "seldon" and "seldondeployments" not in cluster.admin(
        "api-resources", "--output=name"
    ):
        pytest.skip("this cluster has no Seldon Core v1")
    return ClusterServing(cluster.namespace, settings_of(cluster, request.param))


def settings_of(cluster: TestNamespace, runtime: Runtime) -> SeldonCoreSettings:
    return SeldonCoreSettings(
        runtime=runtime,
        namespace=cluster.name,
        image=f"road-accidents/model-server:{TAG}",
        fetch_image=f"road-accidents/pipelines:{TAG}",
        bucket_secret="accidents-bucket",
        replicas=1,
        cpu="50m",
        ready_timeout=400,
    )


def bundle_of(number: int, versions: tuple[tuple[Version, str], ...], role: str = "champion") -> ServedBundle:
    version, uri = versions[number - 1]
    return ServedBundle(str(number), version.bundle.digest, uri, role, 100 if role == "champion" else 0)


def golden_of(number: int, versions: tuple[tuple[Version, str], ...]) -> dict[str, object]:
    content: dict[str, object] = json.loads(versions[number - 1][0].golden.read_text(encoding="utf-8"))
    return content


def test_the_whole_way_of_two_versions(
    serving: ClusterServing, versions: tuple[tuple[Version, str], ...], cluster: TestNamespace
) -> None:
    served = serving.switch(NAME, bundle_of(1, versions), golden_of(1, versions))
    assert serving.drift(served) == serving.additions(served) == []
    assert_gives(serving, served, served.champion, golden_of(1, versions))

    other = replace(bundle_of(2, versions), digest="0" * 64)
    with pytest.raises(ClusterError, match=r"did not become ready.*fetch-bundle"):
        serving.switch(NAME, other, golden_of(2, versions))
    with pytest.raises(StackError, match="does not give the golden probabilities"):
        serving.switch(NAME, bundle_of(2, versions), golden_of(1, versions))
    assert serving.served(NAME) == served
    assert_gives(serving, served, served.champion, golden_of(1, versions))

    challenger = replace(bundle_of(2, versions, "challenger"), share=10)
    tried = serving.try_out(NAME, challenger, golden_of(2, versions))
    assert serving.fault(tried, challenger) == ""
    service, port = RENDERINGS[serving.settings.runtime].address(tried, challenger)
    request = golden_of(2, versions)["request"]
    answer = cluster.namespace.ask(service, port, "POST", f"/v2/models/{NAME}/infer", request)
    assert answer["model_version"] == "2"  # a mesh that shares requests out asks under the champion's name
    shadow = replace(bundle_of(2, versions, "shadow"), share=0)
    tried = serving.try_out(NAME, shadow, golden_of(2, versions))
    assert [(bundle.role, bundle.version) for bundle in tried] == [("champion", "1"), ("shadow", "2")]
    assert_gives(serving, tried, shadow, golden_of(2, versions))
    pods = names_of_pods(cluster)
    newer = serving.settings.model_copy(update={"cpu": "60m"})
    ClusterServing(cluster.namespace, newer).end_trials(NAME)
    assert names_of_pods(cluster) == pods  # what is in the settings alone, nobody has proved

    now = serving.switch(NAME, bundle_of(2, versions), golden_of(2, versions))
    assert serving.metadata(now, now.champion)["versions"] == ["2"]

    serving.stop(NAME)
    labels = f"app.kubernetes.io/instance={NAME}"
    cluster.admin("wait", "--for=delete", "pod", "--selector", labels, "--timeout=90s")
    known = serving.served(NAME)
    assert known is not None
    assert known.stopped
    cluster.admin("delete", "configmap", NAME)


def test_load_may_decide_how_many_there_are_and_again_a_number(
    serving: ClusterServing, versions: tuple[tuple[Version, str], ...], cluster: TestNamespace
) -> None:
    """The pods stay as they are while an autoscaler comes, and goes."""
    serving.switch(NAME, bundle_of(1, versions), golden_of(1, versions))
    served = serving.served(NAME)
    assert served is not None
    before = names_of_pods(cluster)
    scaled = ClusterServing(cluster.namespace, serving.settings.model_copy(update={"max_replicas": 2}))
    served = scaled.switch(NAME, bundle_of(1, versions), golden_of(1, versions))
    (autoscaler,) = json.loads(cluster.admin("get", "hpa", "--output", "json"))["items"]
    assert (autoscaler["spec"]["minReplicas"], autoscaler["spec"]["maxReplicas"]) == (1, 2)
    wait_until_it_measures(cluster, autoscaler["metadata"]["name"])
    assert scaled.drift(served) == scaled.additions(served) == []
    serving.switch(NAME, bundle_of(1, versions), golden_of(1, versions))
    assert json.loads(cluster.admin("get", "hpa", "--output", "json"))["items"] == []
    assert names_of_pods(cluster) == before
    serving.forget(NAME)


def names_of_pods(cluster: TestNamespace) -> set[str]:
    """Return the champion's pods that are not ending."""
    labels = f"app.kubernetes.io/instance={NAME},accidents/role=champion"
    items = json.loads(cluster.admin("get", "pods", "--selector", labels, "--output", "json"))["items"]
    return {pod["metadata"]["name"] for pod in items if "deletionTimestamp" not in pod["metadata"]}


def wait_until_it_measures(cluster: TestNamespace, autoscaler: str) -> None:
    """Wait until it says how busy the pods are: it finds them, and what they ask for."""
    deadline = time.monotonic() + 240
    path = "jsonpath={.status.currentMetrics[0].resource.current.averageUtilization}"
    while not cluster.admin("get", f"hpa/{autoscaler}", "--output", path):
        assert time.monotonic() < deadline, cluster.admin("describe", f"hpa/{autoscaler}")
        time.sleep(3)


def test_what_others_add_to_an_object_is_known(cluster: TestNamespace) -> None:
    """By what the cluster notes of each manager's fields."""
    served = Served("added-to", ServedBundle("1", "1" * 64, "s3://bucket/1"))
    rendered = RENDERINGS["deployment"].render(served, settings_of(cluster, "deployment"))
    (service,) = [each for each in rendered if each["kind"] == "Service"]
    assert added_by(cluster.namespace.apply(service)) == []
    change = '{"spec": {"sessionAffinity": "ClientIP"}}'
    cluster.admin("patch", "service", served.name, "--type=merge", f"--patch={change}")
    assert not differs(cluster.namespace, service)
    live = cluster.namespace.read("Service", served.name)
    assert live is not None
    assert added_by(live) == ["kubectl-patch"]
    cluster.namespace.delete("Service", served.name)


def test_an_image_that_is_not_there_is_told_at_once_and_the_version_before_goes_on(
    serving: ClusterServing, versions: tuple[tuple[Version, str], ...], cluster: TestNamespace
) -> None:
    runtime = serving.settings.runtime
    settings = settings_of(cluster, runtime).model_copy(
        update={"fetch_image": "road-accidents/none:1", "image_pull_policy": "Never"}
    )
    without_image = ClusterServing(cluster.namespace, settings)
    with pytest.raises(ClusterError, match="the image road-accidents/none:1 cannot be had"):
        without_image.switch(NAME, bundle_of(1, versions), golden_of(1, versions))
    assert serving.served(NAME) is None

    served = serving.switch(NAME, bundle_of(1, versions), golden_of(1, versions))
    before = names_of_pods(cluster)
    with pytest.raises(ClusterError, match="the image road-accidents/none:1 cannot be had"):
        without_image.switch(NAME, bundle_of(2, versions), golden_of(2, versions))
    assert serving.served(NAME) == served
    assert names_of_pods(cluster) == before
    assert_gives(serving, served, served.champion, golden_of(1, versions))
    serving.forget(NAME)


def assert_gives(
    serving: ClusterServing, served: Served, bundle: ServedBundle, golden: dict[str, object]
) -> None:
    """Assert that a version is healthy, and answers as it did in training."""
    assert serving.fault(served, bundle) == ""
    answered = serving.predict(served, bundle, golden["request"])  # type: ignore[arg-type]
    np.testing.assert_allclose(answered, golden["p_severe"], rtol=0, atol=1e-6)  # type: ignore[arg-type]
