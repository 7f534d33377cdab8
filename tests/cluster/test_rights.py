"""Service accounts: what the pipelines may do is used by the other tests; what nobody granted is refused."""

from __future__ import annotations

import subprocess

import pytest

from tests.cluster.conftest import KUBECTL, TestNamespace

REFUSED = [
    ("get", "secrets"), ("list", "secrets"), ("watch", "secrets"), ("patch", "secrets"),
    ("update", "secrets"),
    ("create", "pods"), ("create", "pods/exec"), ("create", "pods/attach"), ("create", "pods/portforward"),
    ("patch", "pods/ephemeralcontainers"), ("delete", "pods"), ("deletecollection", "pods"),
    ("create", "daemonsets.apps"), ("create", "statefulsets.apps"), ("create", "cronjobs.batch"),
    ("create", "roles.rbac.authorization.k8s.io"), ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("bind", "roles.rbac.authorization.k8s.io"), ("escalate", "roles.rbac.authorization.k8s.io"),
    ("impersonate", "serviceaccounts"), ("create", "serviceaccounts/token"), ("create", "serviceaccounts"),
    ("delete", "networkpolicies.networking.k8s.io"), ("patch", "resourcequotas"), ("patch", "limitranges"),
    ("list", "nodes"), ("create", "namespaces"), ("patch", "namespaces"),
]  # fmt: skip
GRANTED = [
    ("create", "jobs.batch"), ("patch", "deployments.apps"), ("get", "pods/log"), ("create", "secrets"),
    ("patch", "configmaps"), ("create", "services/proxy"), ("create", "leases.coordination.k8s.io"),
]  # fmt: skip
PIPELINES, API = "accidents-pipelines", "accidents-api"


def may(cluster: TestNamespace, verb: str, what: str, account: str, namespace: str = "") -> bool:
    """Ask the cluster. Fails where it does not say yes or no, or does not know such a resource."""
    resource, _, part = what.partition("/")
    words = [
        KUBECTL, "auth", "can-i", verb, resource, *([f"--subresource={part}"] if part else ()),
        f"--as=system:serviceaccount:{cluster.name}:{account}", "--namespace", namespace or cluster.name,
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    answer = done.stdout.strip().split(" ")[0]
    assert answer in ("yes", "no"), done.stderr
    assert "doesn't have a resource type" not in done.stderr, done.stderr
    return answer == "yes"


@pytest.mark.parametrize(("verb", "what"), REFUSED)
def test_what_nobody_granted_is_refused(verb: str, what: str, cluster: TestNamespace) -> None:
    assert not may(cluster, verb, what, PIPELINES)


@pytest.mark.parametrize(("verb", "what"), GRANTED)
def test_what_is_needed_is_granted_there_and_nowhere_else(
    verb: str, what: str, cluster: TestNamespace
) -> None:
    assert may(cluster, verb, what, PIPELINES)
    assert not may(cluster, verb, what, PIPELINES, "default")
    assert not may(cluster, verb, what, PIPELINES, "kube-system")


@pytest.mark.parametrize(("verb", "what"), [*REFUSED, *GRANTED])
def test_the_api_may_do_nothing(verb: str, what: str, cluster: TestNamespace) -> None:
    assert not may(cluster, verb, what, API)


def test_objects_of_seldon_core_are_the_pipelines_too_where_it_is_installed(cluster: TestNamespace) -> None:
    if "seldondeployments" not in cluster.admin("api-resources", "--output=name"):
        pytest.skip("this cluster has no Seldon Core v1")
    assert may(cluster, "patch", "seldondeployments.machinelearning.seldon.io", PIPELINES)
