"""What callers met in a cluster is told whole: while it scales, too, and where nobody was answered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from accidents.errors import AccidentsError
from benchmarks import kubernetes
from benchmarks.steady_load import Met

HPA = {"spec": {"minReplicas": 2, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}}}}


class Installed(kubernetes.Cluster):
    """An installation whose pods are as many as the autoscaler is asked for; what it was asked for."""

    patches: list[dict[str, Any]]

    def kubectl(self, *words: str, give: str | None = None) -> str:
        if words[0] == "get":
            return json.dumps(HPA)
        self.patches.append(json.loads(words[-1])["spec"])
        return ""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Installed:
    installed = Installed("http://api", "key", "sqlite://", "accidents", "kubernetes-plain")
    object.__setattr__(installed, "patches", [])
    monkeypatch.setattr(kubernetes, "SETTLE_SECONDS", 0)
    return installed


@pytest.mark.parametrize("clients", [4 * kubernetes.CLIENTS, 1], ids=["more pods", "fewer pods"])
def test_a_request_that_fails_while_the_autoscaler_works_is_counted(
    clients: int, cluster: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def load(url: str, key: str, accident: Any, asking: int, pause: float = 0) -> Iterator[Met]:
        yield Met(failed=Counter({"503": 1} if asking == clients else {}))

    monkeypatch.setattr(kubernetes, "steady_load", load)
    monkeypatch.setattr(kubernetes, "_wait_for", lambda cluster, replicas: 1.0)
    met, reached = kubernetes._scaled(cluster, {})
    outcome = kubernetes._outcome(met, 0, 1.0, reached, cluster)
    (failed,) = [figure for figure in outcome.figures if figure.what == "Requests that failed"]
    assert (failed.figure, failed.met) == ("1", False)
    assert cluster.patches[-1] == HPA["spec"]


def test_the_autoscaler_is_as_before_also_if_something_fails(
    cluster: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(cluster: Installed, replicas: int) -> float:
        raise AccidentsError("kubectl ended with 1")

    monkeypatch.setattr(kubernetes, "_wait_for", fails)
    with pytest.raises(AccidentsError, match="kubectl ended"):
        kubernetes._scaled(cluster, {})
    assert cluster.patches[0]["minReplicas"] == 1
    assert cluster.patches[-1] == HPA["spec"]


def test_pods_that_do_not_become_one_are_told_and_no_growth_is_measured(
    cluster: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "_wait_for", lambda cluster, replicas: float("inf"))
    met, reached = kubernetes._scaled(cluster, {})
    outcome = kubernetes._outcome(met, 0, 1.0, reached, cluster)
    missed = [(figure.what, figure.figure) for figure in outcome.figures if figure.met is False]
    assert missed == [("Pods of the API, to 1 before they grow", "not reached")]
    assert cluster.patches[-1] == HPA["spec"]


class FakePods(kubernetes.Cluster):
    """A fake of the cluster's API: two pods of a Deployment; an operator undoes what others change in it."""

    @classmethod
    def begun(cls, owner: str, ignores: bool = False) -> FakePods:
        pods = cls("http://api", "key", "sqlite://", "accidents", "kubernetes")
        for name, value in {"owner": owner, "ignores": ignores, "names": ["p-1-a", "p-1-b"]}.items():
            object.__setattr__(pods, name, value)
        return pods

    owner: str
    ignores: bool
    names: list[str]

    def kubectl(self, *words: str, give: str | None = None) -> str:
        match words:
            case ("get", "pods", *_):
                return json.dumps({"items": [_pod(name) for name in self.names]})
            case ("get", _, "--output", path) if "ownerReferences" in path:
                return self.owner
            case ("rollout", "restart", _) if not self.owner and not self.ignores:
                self._replace(*self.names)
            case ("delete", "pod", pod, _) if not self.ignores:
                self._replace(pod)
        return ""

    def _replace(self, *pods: str) -> None:
        object.__setattr__(self, "names", [f"{name}x" if name in pods else name for name in self.names])


def _pod(name: str) -> dict[str, Any]:
    owner, labels = {"name": "p-1"}, {"pod-template-hash": "1"}
    return {"metadata": {"name": name, "ownerReferences": [owner], "labels": labels}}


@pytest.mark.parametrize("owner", ["", "SeldonDeployment"], ids=["ours", "Seldon's operator's"])
@pytest.mark.parametrize("ignored", [False, True], ids=["obeyed", "ignored"])
def test_a_restart_that_replaces_no_pod_is_no_restart(owner: str, ignored: bool) -> None:
    pods = FakePods.begun(owner, ignored)
    before = list(pods.names)
    pods.restart(kubernetes.MODEL_PODS)
    assert sorted(pods.kept) == (before if ignored else [])
    outcome = kubernetes._outcome({kubernetes.MODEL_RESTARTS: Met()}, 0, 1.0, {}, pods)
    missed = [(figure.what, figure.figure) for figure in outcome.figures if figure.met is False]
    assert missed == ([("Pods that a restart left as they were", "2")] if ignored else [])


def test_where_nobody_was_answered_that_is_told() -> None:
    assert kubernetes._cells(Met(failed=Counter({"503": 4}))) == ("0", "", "0", "4 x 503", *3 * ("none",))


def test_a_version_that_nobody_was_led_to_and_a_budget_that_refuses_nothing_are_missed(
    cluster: Installed,
) -> None:
    alone, both = Met(answered={"a": "1"}), Met(answered={"a": "1", "b": "2"})
    met = {kubernetes.CANARY: alone, kubernetes.SECOND: both, kubernetes.DRAIN: both}
    figures = kubernetes._outcome(met, 0, 1.0, {}, cluster).figures
    missed = [figure.what for figure in figures if figure.met is False]
    assert missed == [f"Answers of both versions: {kubernetes.CANARY}", "Evictions that a budget refused"]
    cluster.refused.append("api-1")
    figures = kubernetes._outcome({kubernetes.DRAIN: both}, 0, 1.0, {}, cluster).figures
    assert not [figure for figure in figures if figure.met is False]


def test_a_stack_that_serves_otherwise_is_refused() -> None:
    with pytest.raises(
        AccidentsError, match="CLUSTER_STACK local has no model deployer with runtime deploym"
    ):
        kubernetes._require_runtime("local")
    with pytest.raises(AccidentsError, match="CLUSTER_STACK: There is no stack 'kubernets'"):
        kubernetes._require_runtime("kubernets")
    for stack in ("kubernetes-plain", "kubernetes"):
        kubernetes._require_runtime(stack)
