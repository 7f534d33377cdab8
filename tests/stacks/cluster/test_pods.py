"""Why a pod does not run, in a sentence with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.cluster.pod_troubles import failed_container, in_words, trouble_of

NO_NODE = "0/3 nodes are available: 3 Insufficient memory."


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "model-1"}, "status": status}


def container(**state: Any) -> dict[str, Any]:
    return {"name": "main", "image": "ours:1", **state}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return pod(containerStatuses=[container(state={"waiting": {"reason": reason, "message": message}})])


@pytest.mark.parametrize(
    ("status", "words", "hopeless"),
    [
        (waiting("ImagePullBackOff", "not found"), "image ours:1 cannot be had (not found). Push it", True),
        (waiting("ErrImagePull"), "image ours:1 cannot be had (ErrImagePull)", False),
        (waiting("CreateContainerConfigError", 'secret "b" not found'), 'secret "b" not found. Create', True),
        (
            waiting("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for it"),
            "cannot be made yet: failed to sync secret cache: timed out waiting for it.",
            False,
        ),
        (
            pod(conditions=[{"reason": "Unschedulable", "message": NO_NODE}]),
            f"fits on no node: {NO_NODE} Ask for less",
            False,
        ),
        (
            pod(reason="Evicted", message="The node was low on resource: memory."),
            "was evicted: The node was low on resource: memory.",
            True,
        ),
        (
            pod(
                containerStatuses=[container(state={"terminated": {"reason": "OOMKilled", "exitCode": 137}})]
            ),
            "was ended for its memory: raise its memory limit",
            True,
        ),
        (
            pod(
                initContainerStatuses=[
                    container(
                        state={"waiting": {"reason": "CrashLoopBackOff"}},
                        lastState={"terminated": {"exitCode": 1, "message": "trace\nError: no bundle"}},
                    )
                ]
            ),
            "ended with exit code 1: Error: no bundle. Mend what it says last, and run the command again.",
            True,
        ),
        (
            pod(containerStatuses=[container(state={"terminated": {"exitCode": 3}})]),
            "ended with exit code 3",
            False,
        ),
        (
            pod(initContainerStatuses=[container(restartCount=2, state={"terminated": {"exitCode": 3}})]),
            "ended with exit code 3",
            True,
        ),
    ],
    ids=[
        "image",
        "image again",
        "secret",
        "busy kubelet",
        "no node",
        "evicted",
        "memory",
        "crashes",
        "crashed once",
        "crashed again",
    ],
)
def test_the_reason_is_told_with_what_to_do(status: dict[str, Any], words: str, hopeless: bool) -> None:
    trouble = trouble_of([pod(phase="Running"), status])
    assert trouble is not None
    assert words in trouble.words
    assert "model-1" in trouble.words
    assert trouble.hopeless == hopeless


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        ('pods "a-1" is forbidden: exceeded quota: accidents, used: pods=60, limited: pods=60', "Raise the"),
        ('violates PodSecurity "restricted:latest": runAsNonRoot != true', "Pod Security wants it"),
        ("maximum memory usage per Container is 1Gi, but limit is 2Gi.", "LimitRange allows"),
        ('error looking up service account accidents/x: serviceaccount "x" not found', "Create the service"),
        ("something that nobody foresaw", ""),
    ],
    ids=["quota", "security", "limits", "account", "unknown"],
)
def test_a_controllers_refusal_is_told_with_what_to_do(refusal: str, remedy: str) -> None:
    told = in_words(refusal)
    assert told.startswith(f"{refusal.rstrip('.')}.")
    assert remedy in told
    assert not told.endswith(" ")


def test_pods_that_run_or_are_on_their_way_or_go_have_no_trouble() -> None:
    going = waiting("ImagePullBackOff")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert trouble_of([pod(phase="Running"), waiting("ContainerCreating"), going]) is None


def test_what_nobody_can_wait_for_comes_first() -> None:
    trouble = trouble_of([waiting("ErrImagePull"), waiting("ErrImageNeverPull")])
    assert trouble is not None
    assert trouble.hopeless


def test_the_container_whose_log_says_why_is_found() -> None:
    ended = container(state={}, lastState={"terminated": {"exitCode": 1}})
    assert failed_container(pod(containerStatuses=[ended])) == "main"
    assert failed_container(waiting("ContainerCreating")) is None
