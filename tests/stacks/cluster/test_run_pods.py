"""The pods of a run, looked at while it goes on: what keeps one from running is told, and remembered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from stacks.cluster.namespace import Namespace
from stacks.components.kubernetes_image.run_pods import RunPods
from tests.fake_kubernetes import FakeKubernetes

RUN = {"run_id": "r1"}
JOB = {"kind": "Job", "metadata": {"name": "train-1", "labels": RUN}}


@pytest.fixture
def pods(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> RunPods:
    monkeypatch.setattr("stacks.components.kubernetes_image.run_pods._EVERY", 0.02)
    monkeypatch.setattr("stacks.components.kubernetes_image.run_pods._PATIENCE", 0.3)
    return RunPods(namespace, "r1")


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


REFUSED = {
    "metadata": {"name": "e1"},
    "involvedObject": {"name": "train-1"},
    "message": "exceeded quota: accidents, requested: requests.memory=16Gi",
}


def give_pod(fake: FakeKubernetes, labels: dict[str, str], name: str = "stand-in", made: str = "") -> None:
    """Let there be a pod of the run: the fake has pods of Deployments alone."""
    fake.objects["deployments", name] = {
        "metadata": {"name": name, "labels": labels},
        "spec": {"template": {"metadata": {"labels": labels, "creationTimestamp": made}}},
    }


@pytest.mark.parametrize("others_run", [False, True], ids=["first pod", "a step's pod"])
def test_a_job_whose_pods_are_refused_is_told_and_ended(
    others_run: bool, fake: FakeKubernetes, pods: RunPods, capfd: pytest.CaptureFixture[str]
) -> None:
    if others_run:
        give_pod(fake, {**RUN, "job-name": "run-1"})
    fake.objects["jobs", "train-1"] = JOB
    fake.objects["events", "e1"] = REFUSED
    with pods.looked_at():
        wait_for(pods.reason)
        assert fake.names("jobs") == ["train-1"]  # it may get them yet
        wait_for(lambda: not fake.names("jobs"))
    assert "refuses the pods of job train-1: exceeded quota" in str(pods.reason())
    assert "Raise the namespace's ResourceQuota" in str(pods.reason())
    assert capfd.readouterr().err.count("exceeded quota") == 1


@pytest.mark.parametrize("ended", [False, True])
def test_a_job_that_got_its_pod_later_or_has_ended_is_left_alone(
    ended: bool, fake: FakeKubernetes, pods: RunPods
) -> None:
    give_pod(fake, {**RUN, "job-name": "run-1" if ended else "train-1"})
    fake.objects["jobs", "train-1"] = {
        **JOB,
        "status": {"conditions": [{"type": "Complete"}]} if ended else {},
    }
    fake.objects["events", "e1"] = REFUSED
    with pods.looked_at():
        time.sleep(0.6)
    assert pods.reason() is None
    assert fake.names("jobs") == ["train-1"]


def test_a_pod_that_fails_is_told_once_with_its_step(
    fake: FakeKubernetes, pods: RunPods, capfd: pytest.CaptureFixture[str]
) -> None:
    give_pod(fake, {**RUN, "step_name": "train_model"})
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


def test_what_a_step_logs_is_shown_once_as_it_comes_and_to_its_end(
    fake: FakeKubernetes, pods: RunPods, capfd: pytest.CaptureFixture[str]
) -> None:
    give_pod(fake, {**RUN, "step_name": "train_model"})
    give_pod(fake, RUN, "run")  # its own pod says nothing of interest
    first, second = "2026-11-28T02:00:00.100000000Z", "2026-11-28T02:00:00.900000000Z"
    own = [
        (first, "\x1b[33mFailed to get list of installed Python packages\x1b[0m"),
        (first, "  train model ..."),
    ]
    fake.logs = {"stand-in-0": [*own, (first, "20 rounds")], "run-0": [(first, "of ZenML")]}
    said = ""
    with pods.looked_at():
        while "20 rounds" not in said:
            time.sleep(0.05)
            said += capfd.readouterr().err
        fake.logs["stand-in-0"].append((second, "40 rounds"))
        time.sleep(0.2)
        fake.pods["stand-in"] = {"phase": "Succeeded"}
        fake.logs["stand-in-0"].append(("2026-11-28T02:00:01.000000000Z", "done"))
    said += capfd.readouterr().err
    shown = [line.strip() for line in said.splitlines() if ":" in line]
    assert shown == ["train model: 20 rounds", "train model: 40 rounds", "train model: done"]


def test_stack_traces_of_steps_are_not_shown(
    fake: FakeKubernetes, pods: RunPods, capfd: pytest.CaptureFixture[str]
) -> None:
    """They are in the step's log; what a person needs of them is told when the run has ended."""
    give_pod(fake, {**RUN, "step_name": "train_model"})
    moment = "2026-11-28T02:00:00.100000000Z"
    trace = [
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in f',
        "    open(name)",
        "    ^^^^",
    ]
    between = ["", "During handling of the above exception, another exception occurred:", ""]
    first = ["Failed to run step train_model: No such file.", f"\x1b[31m{trace[0]}", *trace[1:]]
    lines = [*first, "FileNotFoundError: No such file", *between, *trace, "DataError: No such file.", "ended"]
    fake.logs = {"stand-in-0": [(moment, line) for line in lines]}
    said = ""
    with pods.looked_at():
        while "ended" not in said:
            time.sleep(0.05)
            said += capfd.readouterr().err
    shown = [line.strip() for line in said.splitlines() if ":" in line]
    assert shown == ["train model: Failed to run step train_model: No such file.", "train model: ended"]


def test_what_a_step_logs_is_shown_on_after_a_progress_bar(
    fake: FakeKubernetes, pods: RunPods, capfd: pytest.CaptureFixture[str]
) -> None:
    """A bar is one line to the cluster; its parts were taken for lines, and a word of them for a moment."""
    give_pod(fake, {**RUN, "step_name": "load_data"})
    bar = "Fetching: 10 %\rFetching: 60 %\rFetching: 100 %\r"
    fake.logs = {"stand-in-0": [("2026-11-28T02:00:00.100000000Z", bar)]}
    said = ""
    with pods.looked_at():
        while "100 %" not in said:
            time.sleep(0.05)
            said += capfd.readouterr().err
        fake.logs["stand-in-0"].append(("2026-11-28T02:00:01.000000000Z", "checked"))
        time.sleep(0.2)
    said += capfd.readouterr().err
    shown = [line.strip() for line in said.splitlines() if ":" in line]
    assert shown == ["load data: Fetching: 100 %", "load data: checked"]


@pytest.mark.parametrize("gone", [False, True], ids=["runs", "gone"])
def test_trouble_that_has_passed_is_no_reason_of_a_later_failure(
    gone: bool, fake: FakeKubernetes, pods: RunPods
) -> None:
    give_pod(fake, {**RUN, "step_name": "train_model"})
    full = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "too full."}
    fake.pods["stand-in"] = {"phase": "Pending", "conditions": [full]}
    with pods.looked_at():
        wait_for(pods.reason)
        if gone:
            del fake.objects["deployments", "stand-in"]
        else:
            fake.pods["stand-in"] = {"phase": "Running"}
            wait_for(lambda: pods.reason() is None)
        time.sleep(0.1)
    assert (pods.reason() is None) is not gone


def test_a_job_that_was_refused_and_then_got_its_pod_is_no_reason_of_a_later_failure(
    fake: FakeKubernetes, pods: RunPods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stacks.components.kubernetes_image.run_pods._PATIENCE", 60)
    fake.objects["jobs", "train-1"] = JOB
    fake.objects["events", "e1"] = REFUSED
    with pods.looked_at():
        wait_for(pods.reason)
        fake.pods["stand-in"] = {"phase": "Running"}
        give_pod(fake, {**RUN, "job-name": "train-1"})
        wait_for(lambda: pods.reason() is None)


EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
OUT_OF_MEMORY = {
    "phase": "Failed",
    "containerStatuses": [
        {"name": "main", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    ],
}
SOONER, LATER = "2026-11-28T02:00:00Z", "2026-11-28T02:10:00Z"


def give_evicted_and_next(fake: FakeKubernetes, after: dict[str, Any]) -> None:
    """Let a pod of a job have been evicted, which stays listed, and another have taken its place."""
    for name, made, status in (("old", SOONER, EVICTED), ("new", LATER, after)):
        fake.pods[name] = status
        give_pod(fake, {**RUN, "job-name": "run-1"}, name, made)


def test_a_job_that_is_refused_is_told_and_ended_beside_a_pod_that_was_evicted_and_replaced(
    fake: FakeKubernetes, pods: RunPods
) -> None:
    give_evicted_and_next(fake, {"phase": "Succeeded"})
    fake.objects["jobs", "train-1"] = JOB
    fake.objects["events", "e1"] = REFUSED
    with pods.looked_at():
        wait_for(lambda: not fake.names("jobs"))
    assert "refuses the pods of job train-1: exceeded quota" in str(pods.reason())


def test_of_a_pod_and_the_one_in_its_place_the_later_ones_trouble_is_told(
    fake: FakeKubernetes, pods: RunPods
) -> None:
    give_evicted_and_next(fake, OUT_OF_MEMORY)
    with pods.looked_at():
        wait_for(pods.reason)
    assert "Pod new-0, container main was ended for its memory" in str(pods.reason())


def test_an_eviction_has_passed_once_another_pod_of_its_job_runs(fake: FakeKubernetes, pods: RunPods) -> None:
    give_evicted_and_next(fake, {"phase": "Running"})
    new = fake.objects.pop(("deployments", "new"))
    with pods.looked_at():
        wait_for(pods.reason)
        fake.objects["deployments", "new"] = new
        wait_for(lambda: pods.reason() is None)


@pytest.mark.parametrize(("refused", "ended"), [(SOONER, False), (LATER, True)], ids=["before", "since"])
def test_a_job_whose_pod_is_gone_is_ended_if_it_was_refused_since_and_not_if_it_was_before(
    refused: str, ended: bool, fake: FakeKubernetes, pods: RunPods
) -> None:
    fake.objects["jobs", "train-1"] = JOB
    fake.objects["events", "e1"] = {**REFUSED, "lastTimestamp": "2026-11-28T02:00:00Z"}
    with pods.looked_at():
        wait_for(pods.reason)
        give_pod(fake, {**RUN, "job-name": "train-1"}, made="2026-11-28T02:05:00Z")
        wait_for(lambda: pods.reason() is None)
        time.sleep(0.4)
        fake.objects["events", "e1"] = {**REFUSED, "lastTimestamp": refused}
        del fake.objects["deployments", "stand-in"]
        if ended:
            wait_for(lambda: not fake.names("jobs"))
        time.sleep(0.6)
    assert fake.names("jobs") == ([] if ended else ["train-1"])
    assert (pods.reason() is not None) is ended


def test_a_job_whose_evicted_pod_gets_no_other_is_told_and_ended(fake: FakeKubernetes, pods: RunPods) -> None:
    fake.objects["jobs", "train-1"] = JOB
    fake.pods["stand-in"] = EVICTED
    give_pod(fake, {**RUN, "job-name": "train-1"}, made=SOONER)
    fake.objects["events", "e1"] = {**REFUSED, "lastTimestamp": LATER}
    with pods.looked_at():
        wait_for(lambda: not fake.names("jobs"))
    assert "refuses the pods of job train-1: exceeded quota" in str(pods.reason())


def test_a_cluster_that_does_not_answer_for_a_moment_is_no_trouble(
    fake: FakeKubernetes, pods: RunPods
) -> None:
    fake.namespace = "gone"
    with pods.looked_at():
        time.sleep(0.1)
        assert pods.reason() is None
        fake.namespace = "accidents"
        fake.objects["jobs", "train-1"] = JOB
        fake.objects["events", "e1"] = REFUSED
        wait_for(pods.reason)  # it looks on
