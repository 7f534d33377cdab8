"""The pods of a run, looked at while it goes on: what keeps one from running is told, and remembered."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from stacks.cluster.namespace import Namespace
from stacks.components.kubernetes_image.run_pods import RunPods
from tests.fake_kubernetes import FakeKubernetes

RUN = {"run_id": "r1"}
JOB = {"kind": "Job", "metadata": {"name": "train-1", "labels": RUN}}


@pytest.fixture
def pods(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> RunPods:
    monkeypatch.setattr("stacks.components.kubernetes_image.run_pods._EVERY", 0.02)
    return RunPods(namespace, "r1")


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_job_whose_pods_are_refused_is_told_and_ended(
    fake: FakeKubernetes, pods: RunPods, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.objects["jobs", "train-1"] = JOB
    fake.objects["events", "e1"] = {
        "metadata": {"name": "e1"},
        "involvedObject": {"name": "train-1"},
        "message": 'violates PodSecurity "restricted:latest": runAsNonRoot != true',
    }
    with pods.looked_at():
        wait_for(pods.reason)
    assert "refuses its pods: violates PodSecurity" in str(pods.reason())
    assert fake.names("jobs") == []
    assert "violates PodSecurity" in capfd.readouterr().err


def test_a_pod_that_fails_is_told_once_with_its_step(
    fake: FakeKubernetes, pods: RunPods, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = {**RUN, "step_name": "train_model"}
    fake.objects["deployments", "stand-in"] = {
        "metadata": {"name": "stand-in", "labels": labels},
        "spec": {"template": {"metadata": {"labels": labels}}},
    }
    fake.pods["stand-in"] = {
        "containerStatuses": [
            {"name": "main", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
        ]
    }
    with pods.looked_at():
        wait_for(pods.reason)
        time.sleep(0.2)
    said = capfd.readouterr().err
    assert said.count("was ended for its memory") == 1
    assert "It said last: the log's last line" in said
    assert "train model ..." in said


def test_a_cluster_that_does_not_answer_for_a_moment_is_no_trouble(
    fake: FakeKubernetes, pods: RunPods
) -> None:
    fake.namespace = "gone"
    with pods.looked_at():
        time.sleep(0.1)
    assert pods.reason() is None
