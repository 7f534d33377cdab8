"""Of two that would change a model one is told who is at it; one that died is not waited for."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stacks.cluster import lease
from stacks.cluster.answers import ClusterError
from stacks.cluster.lease import leased
from stacks.cluster.namespace import Namespace
from tests.fake_kubernetes import FakeKubernetes

NAME, WHAT = "model-changes", "change what serves the model"


def held(fake: FakeKubernetes) -> list[str]:
    return fake.names("leases")


def test_one_holds_it_and_the_other_is_told_who(fake: FakeKubernetes, namespace: Namespace) -> None:
    with leased(namespace, NAME, WHAT):
        assert held(fake) == [NAME]
        told = r"process \d+.* is at work to change what serves the model\."
        with pytest.raises(ClusterError, match=told), leased(namespace, NAME, WHAT):
            pytest.fail("two hold it")
        assert held(fake) == [NAME]
    assert held(fake) == []
    with leased(namespace, NAME, WHAT):
        assert held(fake) == [NAME]


def test_one_that_died_is_not_waited_for(fake: FakeKubernetes, namespace: Namespace) -> None:
    fake.objects["leases", NAME] = {
        "metadata": {"name": NAME, "uid": "of-the-dead", "generation": 1},
        "spec": {
            "holderIdentity": "somebody", "leaseDurationSeconds": 60,
            "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    }  # fmt: skip
    with leased(namespace, NAME, WHAT):
        assert fake.objects["leases", NAME]["spec"]["holderIdentity"] != "somebody"


@pytest.mark.parametrize("ahead", [-300, 0, 300], ids=["ours is ahead", "the same", "ours is behind"])
def test_whether_one_has_died_is_told_by_the_clusters_clock(
    ahead: int, fake: FakeKubernetes, namespace: Namespace
) -> None:
    fake.ahead = ahead
    renewed = datetime.now(UTC) + timedelta(seconds=ahead - 30)
    fake.objects["leases", NAME] = {
        "metadata": {"name": NAME, "uid": "of-another"},
        "spec": {
            "holderIdentity": "another", "leaseDurationSeconds": 60,
            "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }  # fmt: skip
    with pytest.raises(ClusterError, match="another is at work"), leased(namespace, NAME, WHAT):
        pytest.fail("two hold it")
    fake.ahead += 60
    with leased(namespace, NAME, WHAT):
        assert fake.objects["leases", NAME]["spec"]["holderIdentity"] != "another"


def test_it_is_renewed_as_long_as_it_is_held(
    fake: FakeKubernetes, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEWED_EVERY", 0.01)
    with leased(namespace, NAME, WHAT):
        first = fake.objects["leases", NAME]["spec"]["renewTime"]
        for _ in range(500):
            if fake.objects["leases", NAME]["spec"]["renewTime"] != first:
                break
            lease.threading.Event().wait(0.01)
        assert fake.objects["leases", NAME]["spec"]["renewTime"] > first
    assert held(fake) == []


def test_it_goes_whatever_happens_within(fake: FakeKubernetes, namespace: Namespace) -> None:
    with pytest.raises(RuntimeError), leased(namespace, NAME, WHAT):
        raise RuntimeError("of the work")
    assert held(fake) == []


def test_one_that_is_made_though_the_answer_is_lost_is_held(
    fake: FakeKubernetes, namespace: Namespace
) -> None:
    put, lost = fake.handle, []

    def lose(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        answer = put(method, target, body)
        if method == "POST" and not lost:
            lost.append(target)
            return 504, {"message": "timeout"}, {}
        return answer

    fake.handle = lose  # type: ignore[method-assign]
    with leased(namespace, NAME, WHAT):
        assert held(fake) == [NAME]
    assert held(fake) == []


def take_away(fake: FakeKubernetes) -> None:
    mine = fake.objects["leases", NAME]
    metadata, spec = {**mine["metadata"], "uid": "of-another"}, {"holderIdentity": "another"}
    fake.objects["leases", NAME] = {**mine, "metadata": metadata, "spec": spec}
    time.sleep(0.2)


def test_one_that_another_holds_by_now_is_neither_renewed_nor_ended_and_that_is_told(
    fake: FakeKubernetes, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEWED_EVERY", 0.01)
    told = "another began to change what serves the model"
    with pytest.raises(ClusterError, match=told), leased(namespace, NAME, WHAT):
        take_away(fake)
    assert fake.objects["leases", NAME]["spec"] == {"holderIdentity": "another"}
