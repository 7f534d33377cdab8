"""When a version's pods are ready, and which of them say why not."""

from __future__ import annotations

import pytest

from stacks.components.seldon_core.cluster_serving import ClusterServing
from stacks.components.seldon_core.readiness import pods_fault
from tests.fake_kubernetes import READY, FakeKubernetes
from tests.stacks.seldon_core.conftest import (
    FIRST,
    GOLDEN,
    NAME,
)


@pytest.mark.parametrize(
    ("pods", "ready"),
    [
        ([("1", True, False)], True),
        ([("1", True, False), ("2", True, True)], True),
        ([], False),
        ([("1", False, False)], False),
        ([("1", True, False), ("2", True, False)], False),
    ],
    ids=["alone", "old one ends", "none yet", "not ready", "old one serves"],
)
def test_a_version_is_ready_when_its_pods_are_and_no_older_ones_serve(
    pods: list[tuple[str, bool, bool]], ready: bool
) -> None:
    made = [
        {
            "metadata": {"annotations": {"accidents/settings": digest}}
            | ({"deletionTimestamp": "now"} if ends else {}),
            "status": {"conditions": [{"type": "Ready", "status": str(well)}]},
        }
        for digest, well, ends in pods
    ]
    assert pods_fault(made, "1", 1) == (None if ready else "")


def test_a_pod_that_was_evicted_once_neither_counts_nor_keeps_others_from_serving() -> None:
    evicted = {
        "metadata": {"name": "old", "annotations": {"accidents/settings": "1"}},
        "status": {"phase": "Failed", "reason": "Evicted"},
    }
    ready = {
        "metadata": {"name": "new", "annotations": {"accidents/settings": "2"}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert pods_fault([evicted, ready], "2", 1) is None


def test_a_rollout_does_not_end_for_a_pod_that_was_evicted_before(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    fake.pods[NAME] = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}
    reason, hopeless, _ = serving._readiness.not_ready(served, served.champion)
    assert (reason.startswith("Its pods are on their way"), hopeless) == (True, False)


def test_a_pod_that_serves_again_after_it_was_ended_for_its_memory_holds_up_no_rollout(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    ended = {
        "name": NAME,
        "restartCount": 3,
        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
    }
    fake.pods[NAME] = {**READY, "containerStatuses": [ended]}
    fake.objects["deployments", NAME]["status"]["updatedReplicas"] = 0
    assert not serving._readiness.not_ready(served, served.champion).hopeless


def test_a_champion_that_answers_serves_while_a_pod_comes(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    fake.objects["deployments", NAME]["status"]["availableReplicas"] = 0
    assert serving.fault(served, served.champion) == ""
