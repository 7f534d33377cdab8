"""A model on a fake cluster: what is applied, proved, told and taken back. Real clusters: tests/cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client

from stacks.cluster.answers import ClusterError
from stacks.cluster.lease import leased
from stacks.cluster.namespace import Namespace
from stacks.components.seldon_core.cluster_serving import ClusterServing, pods_fault
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.errors import StackError
from tests.fake_kubernetes import READY, FakeKubernetes, Fault, fake_kubernetes

NAME = "severity"
GOLDEN = {"request": {"inputs": []}, "p_severe": [0.25, 0.5]}
FIRST, SECOND = (ServedBundle(str(k), str(k) * 64, f"s3://bucket/{k}") for k in (1, 2))
SETTINGS = SeldonCoreSettings(runtime="deployment", ready_timeout=2)


@pytest.fixture
def fake() -> Iterator[FakeKubernetes]:
    with fake_kubernetes() as fake:
        fake.answer = lambda *asked: answer(fake, *asked)
        yield fake


@pytest.fixture
def serving(fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> ClusterServing:
    monkeypatch.setattr("stacks.components.seldon_core.cluster_serving._HOLDS", 0.5)
    return serving_of(fake)


def serving_of(fake: FakeKubernetes, settings: SeldonCoreSettings = SETTINGS) -> ClusterServing:
    """Another client of the same cluster."""
    configuration = client.Configuration(host=fake.url)
    configuration.retries = False
    return ClusterServing(Namespace(client.ApiClient(configuration), fake.namespace, 5), settings)


def answer(
    fake: FakeKubernetes, service: str, method: str, path: str, body: Any, wrong: str = ""
) -> tuple[int, Any]:
    """Answer as the pods of a Deployment do, by the bundle in its template; as others do if it is `wrong`."""
    deployment = fake.objects.get(("deployments", service))
    if deployment is None:
        return 503, "no endpoints available"
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    version, digest = annotations["accidents/version"], annotations["accidents/digest"]
    if method == "GET":
        return 200, {"versions": [version], "parameters": {"digest": digest}}
    probabilities = [0.9, 0.9] if version == wrong else GOLDEN["p_severe"]
    outputs = [{"name": "p_severe", "data": probabilities}]
    return 200, {"model_version": version, "parameters": {"digest": digest}, "outputs": outputs}


def running(fake: FakeKubernetes) -> dict[str, str]:
    """Return the version in each Deployment."""
    return {
        name: fake.objects["deployments", name]["spec"]["template"]["metadata"]["annotations"][
            "accidents/version"
        ]
        for name in fake.names("deployments")
    }


def routes(fake: FakeKubernetes) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads(fake.objects["configmaps", NAME]["data"]["routes.json"])
    return content


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
    assert [path.split("/services/")[1].split(":")[0] for path in proved] == [f"{NAME}-candidate"]
    assert running(fake) == {NAME: "2"}


@pytest.mark.parametrize("beside", [False, True])
def test_a_version_with_other_answers_never_takes_over(
    beside: bool, fake: FakeKubernetes, serving: ClusterServing
) -> None:
    if beside:
        serving.switch(NAME, FIRST, GOLDEN)
    before = dict(running(fake))
    fake.answer = lambda *asked: answer(fake, *asked, wrong="2")
    with pytest.raises(StackError, match="does not give the golden probabilities"):
        serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == before
    known = serving.served(NAME)
    assert known == (Served(NAME, FIRST) if beside else None)


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
            "exit code 1 It said last: the log's last line",
        ),
    ],
    ids=["image", "crash"],
)
def test_pods_that_cannot_run_are_told_at_once_and_taken_back(
    status: dict[str, Any], words: str, fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    fake.pods[f"{NAME}-candidate"] = {
        "initContainerStatuses": [{"name": "fetch-bundle", "image": "a:1", **status}]
    }
    with pytest.raises(ClusterError, match=f"Version 2 did not become ready. .*{words}"):
        serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "1"}


def test_pods_that_take_too_long_are_told_with_how_to_wait_longer(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    fake.pods[f"{NAME}-candidate"] = {"phase": "Pending"}
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
    fake.pods[f"{NAME}-candidate"] = {"phase": "Pending"}
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


def test_a_challenger_is_told_by_the_champion_with_its_own_server(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    challenger = ServedBundle("2", "2" * 64, "s3://bucket/2", "challenger", 10)
    served = serving.try_out(NAME, challenger, GOLDEN)
    assert running(fake) == {NAME: "1", f"{NAME}-challenger": "2"}
    assert served.champion.share == 90
    (route,) = routes(fake)
    assert route["server"] == f"http://{NAME}-challenger.accidents.svc:8085"
    assert (route["role"], route["share"], route["model"]) == ("challenger", 10, f"{NAME}-challenger")
    assert serving.end_trials(NAME) == (challenger,)
    assert running(fake) == {NAME: "1"}
    assert routes(fake) == []


def test_nobody_is_led_to_a_challenger_while_its_pods_change(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    serving.try_out(NAME, replace(SECOND, role="challenger", share=10), GOLDEN)
    put, led = fake.handle, []

    def look(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        if method == "PATCH" and f"/deployments/{NAME}-challenger?" in target:
            led.append(routes(fake))
        return put(method, target, body)

    fake.handle = look  # type: ignore[method-assign]
    serving.try_out(NAME, ServedBundle("3", "3" * 64, "s3://b", "challenger", 20), GOLDEN)
    assert led == [[]]
    assert [route["version"] for route in routes(fake)] == ["3"]


def test_what_a_controller_made_is_left_to_it(fake: FakeKubernetes, serving: ClusterServing) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    made = {**fake.objects["services", NAME]}
    made["metadata"] = {**made["metadata"], "name": "made", "ownerReferences": [{"kind": "SeldonDeployment"}]}
    fake.objects["services", "made"] = made
    serving.switch(NAME, SECOND, GOLDEN)
    assert fake.names("services") == ["made", NAME]


def test_a_share_may_grow_and_a_shadow_stand_beside(fake: FakeKubernetes, serving: ClusterServing) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    for share in (10, 50):
        serving.try_out(NAME, ServedBundle("2", "2" * 64, "s3://b", "challenger", share), GOLDEN)
    serving.try_out(NAME, ServedBundle("3", "3" * 64, "s3://b", "shadow", 0), GOLDEN)
    assert {(route["role"], route["share"]) for route in routes(fake)} == {("challenger", 50), ("shadow", 0)}
    serving.switch(NAME, SECOND, GOLDEN)  # ends them
    assert running(fake) == {NAME: "2"}


def test_stopping_takes_away_what_runs_and_keeps_what_is_known(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    serving.stop(NAME)
    assert fake.names("deployments") == fake.names("services") == []
    served = serving.served(NAME)
    assert served is not None
    assert served.stopped
    assert served.champion == FIRST
    serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "2"}


def test_what_somebody_has_changed_is_told_and_mended_by_the_next_deployment(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    assert serving.drift(served) == []
    fake.objects["deployments", NAME]["spec"]["template"]["spec"]["containers"][0]["image"] = "theirs:1"
    del fake.objects["poddisruptionbudgets", NAME]
    assert serving.drift(served) == [f"Deployment {NAME}", f"PodDisruptionBudget {NAME}"]
    serving.switch(NAME, FIRST, GOLDEN)
    assert serving.drift(served) == []


def test_what_others_have_changed_is_told_apart_from_settings_that_are_new(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    assert ";" not in serving.supervision(served)
    newer = serving_of(fake, SETTINGS.model_copy(update={"image": "ours:2"}))
    assert f"; not as this stack's settings have it now: Deployment {NAME}" in newer.supervision(served)
    fake.objects["deployments", NAME]["spec"]["template"]["spec"]["containers"][0]["image"] = "theirs:1"
    assert f"; changed since by others: Deployment {NAME}" in serving.supervision(served)


def test_a_record_that_is_damaged_is_told(fake: FakeKubernetes, serving: ClusterServing) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    fake.objects["configmaps", NAME]["data"]["served.json"] = "{"
    remedy = f"kubectl delete --namespace accidents configmap {NAME}"
    with pytest.raises(ClusterError, match=f"ConfigMap {NAME} .* does not say what is served.*{remedy}"):
        serving.switch(NAME, SECOND, GOLDEN)
    del fake.objects["configmaps", NAME]
    serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "2"}


def test_a_model_is_forgotten_before_others_may_change_it(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    fake.asked.clear()
    serving_of(fake, SeldonCoreSettings(runtime="seldon")).forget(NAME)  # whatever serves it
    deleted = [path.split("/")[-2] for method, path in fake.asked if method == "DELETE"]
    assert deleted[-2:] == ["configmaps", "leases"]
    assert set(fake.objects) == set()


def test_a_configmap_of_somebody_elses_is_not_forgotten(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    fake.objects["configmaps", NAME] = {"kind": "ConfigMap", "metadata": {"name": NAME, "labels": {}}}
    serving.forget(NAME)
    assert fake.names("configmaps") == [NAME]


def test_what_another_runtime_serves_is_no_business_of_this_one_until_it_is_stopped(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    other = serving_of(fake, SeldonCoreSettings(runtime="seldon"))
    assert other.names() == []
    with pytest.raises(ClusterError, match=r"by runtime deployment .* this stack has seldon\. Stop it first"):
        other.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "1"}
    other.forget("another")
    assert running(fake) == {NAME: "1"}
    serving.stop(NAME)
    known = other.served(NAME)
    assert known is not None
    assert known.stopped


def test_a_check_names_the_rights_that_are_lacking(fake: FakeKubernetes, serving: ClusterServing) -> None:
    assert serving.reached() == "Kubernetes v0-fake answers, and grants what is needed in namespace accidents"
    fake.forbidden |= {"create deployments", "list configmaps", "services/proxy", "pods/log"}
    lacking = "list configmaps, create deployments, get pods/log, get services/proxy, create services/proxy"
    with pytest.raises(ClusterError, match=f"This login may not {lacking} in namespace accidents"):
        serving.reached()


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
    reason, hopeless, _ = serving._not_ready(served, served.champion)
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
    assert not serving._not_ready(served, served.champion).hopeless


def test_a_rollout_that_fails_puts_the_settings_before_back_too(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    spec = fake.objects["deployments", NAME]["spec"]
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


@pytest.mark.parametrize("taken_back", ["by ending the trial", "by deploying the champion"])
def test_a_challenger_that_is_taken_back_answers_nobody_whatever_becomes_of_the_champions_pods(
    taken_back: str, fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    serving.try_out(NAME, replace(SECOND, role="challenger", share=50), GOLDEN)
    fake.pods |= {name: {"phase": "Pending"} for name in (NAME, f"{NAME}-candidate")}
    if taken_back == "by ending the trial":
        serving.end_trials(NAME)
    else:
        with pytest.raises(ClusterError, match="did not become ready"):
            serving.switch(NAME, FIRST, GOLDEN)
    assert routes(fake) == []
    assert running(fake) == {NAME: "1"}


def test_what_runs_is_found_where_its_record_is_lost(fake: FakeKubernetes, serving: ClusterServing) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    del fake.objects["configmaps", NAME]
    fake.answer = lambda *asked: answer(fake, *asked, wrong="2")
    with pytest.raises(StackError, match="golden probabilities"):
        serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "1"}
    fake.answer = lambda *asked: answer(fake, *asked)
    serving.switch(NAME, SECOND, GOLDEN)
    assert running(fake) == {NAME: "2"}


def test_pods_stay_as_many_when_an_autoscaler_takes_them_over(fake: FakeKubernetes) -> None:
    fixed = SETTINGS.model_copy(update={"replicas": 4})
    serving_of(fake, fixed).switch(NAME, FIRST, GOLDEN)
    serving_of(fake, fixed.model_copy(update={"max_replicas": 10})).switch(NAME, FIRST, GOLDEN)
    live = fake.objects["deployments", NAME]
    assert live["spec"]["replicas"] == 4
    ours = [each for each in live["metadata"]["managedFields"] if each["manager"] == "road-accidents"]
    assert "f:replicas" not in ours[0]["fieldsV1"]["f:spec"]


def test_a_champion_that_answers_serves_while_a_pod_comes(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    fake.objects["deployments", NAME]["status"]["availableReplicas"] = 0
    assert serving.fault(served, served.champion) == ""


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
