"""A version becomes the champion on a fake cluster, or does not, and what served serves on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from stacks.cluster.answers import ClusterError
from stacks.cluster.lease import leased
from stacks.components.seldon_core.cluster_serving import ClusterServing
from stacks.components.seldon_core.description import Served
from stacks.errors import StackError
from tests.fake_kubernetes import FakeKubernetes, Fault
from tests.stacks.seldon_core.conftest import (
    FIRST,
    GOLDEN,
    NAME,
    SECOND,
    SETTINGS,
    answer,
    running,
    serving_of,
)


def test_a_first_version_serves_once_it_has_given_the_golden_answers(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    assert running(fake) == {NAME: "1"}
    assert fake.names("services") == fake.names("poddisruptionbudgets") == [NAME]
    assert serving.fault(served, served.champion) == ""
    assert serving.names() == [NAME]
    assert serving_of(fake).served(NAME) == served  # another client finds it


def test_a_version_proves_itself_aside_before_it_takes_over(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    fake.asked.clear()
    serving.switch(NAME, SECOND, GOLDEN)
    proved = [path for method, path in fake.asked if method == "POST" and "/services/" in path]
    assert [path.split("/services/")[1].split(":")[0] for path in proved] == [f"{NAME}-proving"]
    assert running(fake) == {NAME: "2"}


@pytest.mark.parametrize("beside", [False, True])
def test_a_version_with_other_answers_never_takes_over(
    beside: bool, fake: FakeKubernetes, serving: ClusterServing
) -> None:
    if beside:
        serving.switch(NAME, FIRST, GOLDEN)
    before = dict(running(fake))
    fake.asked.clear()
    fake.answer = lambda *asked: answer(fake, *asked, wrong="2")
    with pytest.raises(StackError, match="does not give the golden probabilities"):
        serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == before
    applied = [path.rsplit("/", 1)[1] for method, path in fake.asked if method == "PATCH"]
    assert NAME not in applied  # nobody is led to a pod that is not proved
    known = serving.served(NAME)
    assert known == (Served(NAME, FIRST) if beside else None)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "record lost"])
def test_a_rollout_that_fails_leaves_what_is_there_also_where_its_record_is_lost(
    beside: bool, fake: FakeKubernetes, serving: ClusterServing, capfd: pytest.CaptureFixture[str]
) -> None:
    if beside:
        serving.switch(NAME, FIRST, GOLDEN)
        del fake.objects["configmaps", NAME]
    before = {key: there["spec"] for key, there in fake.objects.items()}
    fake.pods[NAME] = {"phase": "Pending"}
    with pytest.raises(ClusterError, match="Version 2 did not become ready"):
        serving.switch(NAME, SECOND, GOLDEN)
    assert {key: there["spec"] for key, there in fake.objects.items()} == before
    assert ("what served before serves on" in capfd.readouterr().err) is beside


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {"state": {"waiting": {"reason": "ErrImageNeverPull", "message": "not present"}}},
            "image .* cannot be had",
        ),
        (
            {
                "lastState": {"terminated": {"exitCode": 1}},
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            },
            "exit code 1. Mend .* It said last: the log's last line",
        ),
    ],
    ids=["image", "crash"],
)
def test_pods_that_cannot_run_are_told_at_once_and_taken_back(
    status: dict[str, Any], words: str, fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    fake.pods[f"{NAME}-proving"] = {
        "initContainerStatuses": [{"name": "fetch-bundle", "image": "a:1", **status}]
    }
    with pytest.raises(ClusterError, match=f"Version 2 did not become ready. .*{words}"):
        serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "1"}


def test_pods_that_take_too_long_are_told_with_how_to_wait_longer(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    fake.pods[f"{NAME}-proving"] = {"phase": "Pending"}
    with pytest.raises(ClusterError, match=r"did not become ready within 2 s \(ready_timeout\)"):
        serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "1"}


def test_a_rollout_that_fails_leaves_the_version_before(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    refused = Fault(403, 'admission webhook "policy" denied the request: not now')
    put = fake.handle

    def refuse(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        about = (body or {}).get("metadata", {}).get("name")
        if method == "PATCH" and about == NAME and "2" * 64 in json.dumps(body):
            return refused.status, {"message": refused.message}, {}
        return put(method, target, body)

    fake.handle = refuse  # type: ignore[method-assign]
    with pytest.raises(ClusterError, match="its webhook policy refuses it: not now"):
        serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "1"}
    assert serving.served(NAME) == served


def test_what_serves_is_left_alone_until_another_version_and_new_settings_are_proved(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    before = fake.objects["deployments", NAME]
    fake.pods[f"{NAME}-proving"] = {"phase": "Pending"}
    with pytest.raises(ClusterError, match="did not become ready"):
        serving_of(fake, SETTINGS.model_copy(update={"image": "none:1"})).switch(NAME, SECOND, GOLDEN)
    assert fake.objects["deployments", NAME] == before
    assert fake.names("deployments") == [NAME]


@pytest.mark.parametrize("proved", [False, True], ids=["candidate", "rollout"])
def test_why_a_version_was_refused_is_told_also_if_it_cannot_be_taken_back(
    proved: bool, fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    put, refused = fake.handle, []

    def refuse(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        if method == "DELETE" and not refused and "/leases/" not in target and not proved:
            return 403, {"message": "not now"}, {}
        if method == "PATCH" and proved and f"/deployments/{NAME}?" in target:
            refused.append(target)
            return 422, {"message": f"refusal {len(refused)}"}, {}
        return put(method, target, body)

    fake.handle = refuse  # type: ignore[method-assign]
    fake.answer = lambda *asked: answer(fake, *asked, wrong="" if proved else "2")
    why = "refusal 1.* either: .*refusal 2" if proved else "golden probabilities.* either: .*not now"
    with pytest.raises(ClusterError, match=f"(?s){why}"):
        serving.switch(NAME, SECOND, GOLDEN)


def test_a_version_that_cannot_be_written_down_is_taken_back(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    put = fake.handle

    def refuse(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        if method == "PATCH" and "/configmaps/" in target and "2" * 64 in body["data"]["served.json"]:
            return 403, {"message": "exceeded quota: small"}, {}
        return put(method, target, body)

    fake.handle = refuse  # type: ignore[method-assign]
    with pytest.raises(ClusterError, match="exceeded quota"):
        serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "1"}
    assert serving.served(NAME) == served


@pytest.mark.parametrize("lost", [False, True], ids=["by its record", "record lost"])
def test_a_rollout_that_fails_puts_the_settings_before_back_too(
    lost: bool, fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    spec = fake.objects["deployments", NAME]["spec"]
    if lost:
        del fake.objects["configmaps", NAME]
    put = fake.handle

    def get_stuck(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        if method == "PATCH" and f"/deployments/{NAME}?" in target and "other:1" in json.dumps(body):
            fake.pods[NAME] = {"phase": "Pending"}
        return put(method, target, body)

    fake.handle = get_stuck  # type: ignore[method-assign]
    changed = serving_of(fake, SETTINGS.model_copy(update={"image": "other:1"}))
    with pytest.raises(ClusterError, match="did not become ready"):
        changed.switch(NAME, SECOND, GOLDEN)
    assert fake.objects["deployments", NAME]["spec"] == spec


def test_pods_stay_as_many_when_an_autoscaler_takes_them_over(fake: FakeKubernetes) -> None:
    fixed = SETTINGS.model_copy(update={"replicas": 4})
    serving_of(fake, fixed).switch(NAME, FIRST, GOLDEN)
    serving_of(fake, fixed.model_copy(update={"max_replicas": 10})).switch(NAME, FIRST, GOLDEN)
    live = fake.objects["deployments", NAME]
    assert live["spec"]["replicas"] == 4
    ours = [each for each in live["metadata"]["managedFields"] if each["manager"] == "road-accidents"]
    assert "f:replicas" not in ours[0]["fieldsV1"]["f:spec"]


@pytest.mark.parametrize("fails", [False, True], ids=["switched off", "switched on, and taken back"])
def test_an_autoscaler_that_goes_is_gone_before_its_pods_have_a_number_again(
    fails: bool, fake: FakeKubernetes, serving: ClusterServing
) -> None:
    scaled = serving_of(fake, SETTINGS.model_copy(update={"max_replicas": 10}))
    serving.switch(NAME, FIRST, GOLDEN)
    if not fails:
        scaled.switch(NAME, FIRST, GOLDEN)
    fake.asked.clear()
    if fails:
        fake.pods[NAME] = {"phase": "Pending"}
        with pytest.raises(ClusterError, match="did not become ready"):
            scaled.switch(NAME, SECOND, GOLDEN)
    else:
        serving.switch(NAME, SECOND, GOLDEN)
    assert fake.names("horizontalpodautoscalers") == []
    done = [(method, path.rsplit("/", 2)[1]) for method, path in fake.asked if path.endswith(f"/{NAME}")]
    numbered = len(done) - 1 - done[::-1].index(("PATCH", "deployments"))  # the last time
    assert done.index(("DELETE", "horizontalpodautoscalers")) < numbered
    assert fake.objects["deployments", NAME]["spec"]["replicas"] == SETTINGS.replicas


def test_two_deployments_at_once_do_not_get_in_each_others_way(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    with leased(serving._namespace, f"{NAME}-changes", "deploy"):
        for change in (
            lambda: serving.switch(NAME, SECOND, GOLDEN),
            lambda: serving.try_out(NAME, replace(SECOND, role="challenger", share=10), GOLDEN),
            lambda: serving.stop(NAME),
        ):
            with pytest.raises(ClusterError, match=f"is at work to change what serves {NAME}"):
                change()
    assert running(fake) == {NAME: "1"}
    serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "2"}
