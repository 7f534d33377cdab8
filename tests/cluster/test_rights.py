"""The pipelines' service account: what it may do is used by the other tests; what it may not is refused."""

from __future__ import annotations

import pytest

from tests.cluster.conftest import TestNamespace, kubectl

REFUSED = [
    ("get", "secrets"), ("list", "secrets"), ("patch", "secrets"), ("update", "secrets"), ("create", "pods"),
    ("create", "pods/exec"), ("delete", "pods"), ("create", "roles"), ("create", "rolebindings"),
    ("create", "serviceaccounts/token"), ("delete", "networkpolicies"), ("patch", "resourcequotas"),
    ("list", "nodes"), ("create", "namespaces"),
]  # fmt: skip
GRANTED = [("create", "jobs"), ("patch", "deployments"), ("patch", "seldondeployments"), ("get", "pods/log")]


def may(cluster: TestNamespace, verb: str, what: str) -> bool:
    account = f"system:serviceaccount:{cluster.name}:accidents-pipelines"
    resource, _, part = what.partition("/")
    words = ["auth", "can-i", verb, resource, f"--as={account}", "--namespace", cluster.name]
    try:
        return "yes" in kubectl(*words, *([f"--subresource={part}"] if part else []))
    except AssertionError:  # its exit code says no, too
        return False


@pytest.mark.parametrize(("verb", "what"), REFUSED)
def test_what_nobody_granted_is_refused(verb: str, what: str, cluster: TestNamespace) -> None:
    assert not may(cluster, verb, what)


@pytest.mark.parametrize(("verb", "what"), GRANTED)
def test_what_is_needed_is_granted_there_and_nowhere_else(
    verb: str, what: str, cluster: TestNamespace
) -> None:
    assert may(cluster, verb, what)
    account = f"--as=system:serviceaccount:{cluster.name}:accidents-pipelines"
    with pytest.raises(AssertionError):
        kubectl("auth", "can-i", verb, what.partition("/")[0], account, "--namespace", "default")
