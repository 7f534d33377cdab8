"""What a cluster's API answers, and what a person is told of it: with faults on order."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client

from stacks.cluster.answers import ClusterError
from stacks.cluster.namespace import Namespace, find_namespace
from stacks.cluster.objects import MANAGED_BY, MANAGER
from tests.fake_kubernetes import FakeKubernetes, Fault

CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "accidents", "labels": {MANAGED_BY: MANAGER}},
    "data": {"key": "value"},
}
SELDON = {**CONFIG_MAP, "apiVersion": "machinelearning.seldon.io/v1", "kind": "SeldonDeployment"}


def test_an_object_is_applied_read_listed_and_deleted(namespace: Namespace) -> None:
    assert namespace.read("ConfigMap", "a") is None
    namespace.apply(CONFIG_MAP)
    again = namespace.apply(CONFIG_MAP)
    assert again["data"] == {"key": "value"}
    assert again["metadata"]["generation"] == 1  # nothing changed
    assert [each["metadata"]["name"] for each in namespace.list("ConfigMap", {MANAGED_BY: MANAGER})] == ["a"]
    assert namespace.list("ConfigMap", {MANAGED_BY: "somebody"}) == []
    namespace.delete("ConfigMap", "a")
    namespace.delete("ConfigMap", "a")
    assert namespace.read("ConfigMap", "a") is None


def test_what_somebody_else_has_made_is_taken_over_only_if_that_is_said(
    fake: FakeKubernetes, namespace: Namespace
) -> None:
    theirs = {"kind": "ConfigMap", "metadata": {"name": "a", "labels": {}, "generation": 4}}
    fake.objects["configmaps", "a"] = theirs
    with pytest.raises(ClusterError, match=r"somebody else has made\. Set `adopt: true`"):
        namespace.apply(CONFIG_MAP)
    assert fake.objects["configmaps", "a"] is theirs
    Namespace(client.ApiClient(client.Configuration(host=fake.url)), "accidents", 5, adopt=True).apply(
        CONFIG_MAP
    )
    assert fake.objects["configmaps", "a"]["data"] == {"key": "value"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(401, "Unauthorized"), "its token has expired. Log in again"),
        (Fault(403, 'User "x" cannot patch resource "configmaps"'), "kubernetes/base/rbac.yaml"),
        (
            Fault(403, 'pods "x" is forbidden: exceeded quota: small'),
            "quota does not allow it: .*exceeded quota: small. Raise it",
        ),
        (
            Fault(403, 'pods "x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi'),
            "a rule of the cluster forbids it: .*maximum memory usage per Container is 1Gi.*2Gi.$",
        ),
        (
            Fault(
                403,
                'configmaps "a" is forbidden: unable to create new content in namespace accidents because it '
                "is being terminated",
            ),
            "namespace accidents is being deleted. Wait until it is gone",
        ),
        (
            Fault(409, 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas'),
            "somebody else changes",
        ),
        (Fault(422, "spec.replicas: Invalid value: -1"), "spec.replicas: Invalid value"),
        (
            Fault(400, 'admission webhook "v1.vseldon.kb.io" denied the request: traffic must add up to 100'),
            "its webhook v1.vseldon.kb.io refuses it: traffic must add up to 100",
        ),
        (
            Fault(403, 'admission webhook "policy" denied the request: no label team'),
            "its webhook policy refuses it: no label team",
        ),
    ],
    ids=["login", "rights", "quota", "rule", "ending", "conflict", "invalid", "webhook", "policy"],
)
def test_a_refusal_is_told_with_its_reason_and_remedy(
    fault: Fault, words: str, fake: FakeKubernetes, namespace: Namespace
) -> None:
    fake.faults.append(("PATCH", fault))
    with pytest.raises(ClusterError, match=words) as error:
        namespace.apply(CONFIG_MAP)
    assert str(error.value).startswith("The cluster could not apply ConfigMap a: ")
    assert fake.names("configmaps") == []


def test_a_namespace_that_is_gone_and_a_kind_that_is_not_installed_are_told(
    fake: FakeKubernetes, namespace: Namespace
) -> None:
    fake.unknown.add("seldondeployments")
    with pytest.raises(ClusterError, match=r"does not know SeldonDeployment\. Install Seldon Core v1"):
        namespace.apply(SELDON)
    assert namespace.list("SeldonDeployment", {}) == []
    fake.namespace = "other"
    with pytest.raises(ClusterError, match=r"there is no namespace accidents. Create it: kubectl create"):
        namespace.apply(CONFIG_MAP)


def test_an_api_that_is_busy_is_asked_again_when_it_says(fake: FakeKubernetes, namespace: Namespace) -> None:
    fake.faults += [
        ("PATCH", Fault(429, "slow down", {"Retry-After": "1"})),
        ("PATCH", Fault(503, "no leader")),
    ]
    begun = time.monotonic()
    namespace.apply(CONFIG_MAP)
    assert time.monotonic() - begun > 1
    assert fake.names("configmaps") == ["a"]


def test_an_api_that_would_be_asked_in_an_hour_is_asked_sooner(
    fake: FakeKubernetes, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stacks.cluster.namespace._LONGEST", 0.1)
    fake.faults.append(("PATCH", Fault(503, "no leader", {"Retry-After": "3600"})))
    namespace.apply(CONFIG_MAP)
    assert fake.names("configmaps") == ["a"]


def test_what_is_applied_is_ours_and_an_unknown_field_of_it_is_refused(
    fake: FakeKubernetes, namespace: Namespace
) -> None:
    put, asked = fake.handle, []

    def listen(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        if method == "PATCH":
            asked.append(parse_qs(urlsplit(target).query))
        return put(method, target, body)

    fake.handle = listen  # type: ignore[method-assign]
    namespace.apply(CONFIG_MAP)
    namespace.apply(CONFIG_MAP, dry_run=True)
    ours = {"fieldManager": ["road-accidents"], "force": ["true"], "fieldValidation": ["Strict"]}
    assert asked == [ours, {**ours, "dryRun": ["All"]}]


def test_a_long_list_is_read_to_its_end(fake: FakeKubernetes, namespace: Namespace) -> None:
    pages = {"": ("a", "next"), "next": ("b", "")}

    def page(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        name, following = pages[parse_qs(urlsplit(target).query).get("continue", [""])[0]]
        return 200, {"metadata": {"continue": following}, "items": [{"metadata": {"name": name}}]}, {}

    fake.handle = page  # type: ignore[method-assign]
    assert [each["metadata"]["name"] for each in namespace.list("Pod", {})] == ["a", "b"]


def test_an_api_that_stays_busy_is_told(fake: FakeKubernetes, namespace: Namespace) -> None:
    fake.faults += [("GET", Fault(429, "slow down", {"Retry-After": "0"}))] * 9
    with pytest.raises(ClusterError, match=r"asked too often. Run the command again in a minute"):
        namespace.read("ConfigMap", "a")


def test_a_webhook_that_does_not_answer_is_told(
    fake: FakeKubernetes, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stacks.cluster.namespace._LONGEST", 0.0)
    message = 'Internal error occurred: failed calling webhook "v1.vseldon.kb.io": connection refused'
    fake.faults += [("PATCH", Fault(500, message))] * 9
    with pytest.raises(ClusterError, match=r"its webhook v1.vseldon.kb.io does not answer"):
        namespace.apply(CONFIG_MAP)


def test_a_list_that_has_changed_too_much_is_read_anew(fake: FakeKubernetes, namespace: Namespace) -> None:
    namespace.apply(CONFIG_MAP)
    fake.faults.append(("GET", Fault(410, "the provided continue parameter is too old")))
    assert len(namespace.list("ConfigMap", {MANAGED_BY: MANAGER})) == 1


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stacks.cluster.namespace._LONGEST", 0.0)
    configuration = client.Configuration(host="http://127.0.0.1:9")
    configuration.retries = False
    with pytest.raises(ClusterError, match=r"it does not answer .*`kubectl get pods` must work"):
        Namespace(client.ApiClient(configuration), "accidents", 1).read("ConfigMap", "a")


def test_an_api_that_takes_a_request_and_does_not_answer_is_waited_for_no_longer_than_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stacks.cluster.namespace._LONGEST", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configuration = client.Configuration(host=f"http://127.0.0.1:{silent.getsockname()[1]}")
        configuration.retries = False
        begun = time.monotonic()
        with pytest.raises(ClusterError, match=r"read ConfigMap a: it does not answer"):
            Namespace(client.ApiClient(configuration), "accidents", 0.2).read("ConfigMap", "a")
    assert time.monotonic() - begun >= 1  # five attempts, and no more


def test_what_the_api_was_too_slow_for_is_asked_again(fake: FakeKubernetes) -> None:
    put, slow = fake.handle, [1.0]

    def stall(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        if method == "PATCH" and slow:
            time.sleep(slow.pop())
        return put(method, target, body)

    fake.handle = stall  # type: ignore[method-assign]
    configuration = client.Configuration(host=fake.url)
    configuration.retries = False
    Namespace(client.ApiClient(configuration), "accidents", 0.3).apply(CONFIG_MAP)
    assert slow == []
    assert fake.names("configmaps") == ["a"]


def test_a_context_that_is_not_there_and_no_kubeconfig_at_all_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterError, match=r"There is no context elsewhere in the kubeconfig"):
        find_namespace("accidents", "elsewhere")
    with pytest.raises(ClusterError, match=r"No cluster is known here: .*Set KUBECONFIG"):
        find_namespace("accidents")


def test_in_a_pod_a_kubeconfig_that_is_named_says_which_cluster_is_meant(
    fake: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `kubectl` has it: a workflow's runner may be a pod of another cluster."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(ClusterError, match="No cluster is known here"):  # a pod without a token
        find_namespace("accidents")
    named = {"name": "meant", "cluster": {"server": fake.url}, "context": {"cluster": "meant", "user": "x"}}
    kinds: dict[str, Any] = {"clusters": [named], "contexts": [named], "users": [{"name": "x", "user": {}}]}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps({**kinds, "current-context": "meant"}), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    assert find_namespace("accidents").version() == "v0-fake"
