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
