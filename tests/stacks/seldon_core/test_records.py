"""What is known of a model on a fake cluster: its record, its objects, other owners, rights."""

from __future__ import annotations

from typing import Any, cast

import pytest

from stacks.cluster.answers import ClusterError
from stacks.components.seldon_core.applied_objects import added_by
from stacks.components.seldon_core.cluster_serving import ClusterServing
from stacks.components.seldon_core.settings import Runtime, SeldonCoreSettings
from stacks.endpoints import seldon_core
from stacks.endpoints.component import Component
from stacks.endpoints.protocol import State
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


def test_what_a_controller_made_is_left_to_it(fake: FakeKubernetes, serving: ClusterServing) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    made = {**fake.objects["services", NAME]}
    made["metadata"] = {**made["metadata"], "name": "made", "ownerReferences": [{"kind": "SeldonDeployment"}]}
    fake.objects["services", "made"] = made
    serving.switch(NAME, SECOND, GOLDEN)
    assert fake.names("services") == ["made", NAME]


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


def others(manager: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    """What the cluster notes of a manager's fields."""
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": fields}, **more}


def test_what_others_have_added_is_told_with_who_did_it(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    """Applying leaves it, so that a deployment is no remedy, and a dry run shows nothing."""
    served = serving.switch(NAME, FIRST, GOLDEN)
    live = fake.objects["deployments", NAME]
    live["spec"]["minReadySeconds"] = 30
    live["metadata"]["managedFields"].append(others("kubectl-edit", {"f:minReadySeconds": {}}))
    assert serving.drift(served) == []
    told = f"others have added to Deployment {NAME} (kubectl-edit): take it back with kubectl"
    assert serving.supervision(served).endswith(f"; {told}")


def in_container(fields: dict[str, Any]) -> dict[str, Any]:
    return {"f:template": {"f:spec": {"f:containers": {'k:{"name":"severity"}': fields}}}}


OURS = others("road-accidents", in_container({".": {}, "f:image": {}}))


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (others("kubectl-set", in_container({".": {}, "f:env": {'k:{"name":"A"}': {}}})), True),
        (others("kubectl-patch", {"f:template": {"f:spec": {"f:affinity": {}}}}), True),
        (others("kubectl-set", in_container({"f:image": {}})), False),
        (others("kubectl-rollout", {"f:template": {"f:metadata": {"f:annotations": {"f:at": {}}}}}), False),
        (others("kube-controller-manager", {"f:replicas": {}}, subresource="scale"), False),
        (others("kubectl", {"f:replicas": {}}, subresource="scale"), False),
        (others("road-accidents-replicas", {"f:replicas": {}}), False),
        ({"manager": "kubectl-label", "fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}}, False),
    ],
    ids=["variable", "affinity", "our field", "restart", "load", "scaled", "handed over", "label"],
)
def test_who_has_added_to_a_spec_is_known_from_what_each_manager_has(
    theirs: dict[str, Any], told: bool
) -> None:
    live = {"metadata": {"managedFields": [OURS, theirs]}}
    assert added_by(live) == ([theirs["manager"]] if told else [])


def test_what_others_have_changed_is_told_apart_from_settings_that_are_new(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    assert ";" not in serving.supervision(served)
    newer = serving_of(fake, SETTINGS.model_copy(update={"image": "ours:2"}))
    assert f"; not as this stack's settings have it now: Deployment {NAME}" in newer.supervision(served)
    fake.objects["deployments", NAME]["spec"]["template"]["spec"]["containers"][0]["image"] = "theirs:1"
    assert f"; changed since by others: Deployment {NAME}" in serving.supervision(served)
    fake.objects["configmaps", NAME]["data"]["objects.json"] = "[{"
    assert "; changed since, by others or by this stack's settings: " in serving.supervision(served)


def test_a_version_that_answers_is_healthy_also_where_its_objects_cannot_be_compared(
    fake: FakeKubernetes, serving: ClusterServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a policy engine that restarts would have a version in its first hour taken back."""
    serving.switch(NAME, FIRST, GOLDEN)
    monkeypatch.setattr(seldon_core, "serving_of", lambda settings: serving_of(fake, settings))
    endpoint = seldon_core.SeldonCoreEndpoint(NAME, SETTINGS, cast(Component, None))
    fake.faults.append(("PATCH", Fault(403, 'admission webhook "policy" denied the request: not now')))
    state = endpoint.state()
    assert (state.state, state.reason) == (State.healthy, "")
    assert "cannot be told: The cluster could not apply Deployment" in state.supervision
    fake.objects["poddisruptionbudgets", NAME]["metadata"]["labels"] = {}
    assert "cannot be told: There is a PodDisruptionBudget" in endpoint.state().supervision


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
    ("runtime", "kind", "words"),
    [
        ("seldon", "seldondeployments", r"does not know SeldonDeployment\. Install Seldon Core v1 in it"),
        ("kserve", "inferenceservices", r"does not know InferenceService\. Install KServe in it"),
    ],
)
def test_a_check_names_what_the_cluster_does_not_know(
    runtime: Runtime, kind: str, words: str, fake: FakeKubernetes
) -> None:
    """Or a training would go before a deployment that cannot be: rights are granted on any word."""
    serving = serving_of(fake, SeldonCoreSettings(runtime=runtime))
    assert "grants what is needed" in serving.reached()
    fake.unknown.add(kind)
    with pytest.raises(ClusterError, match=words):
        serving.reached()


def test_a_check_tells_of_a_namespace_that_is_not_there(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    """In it an admin may do everything, and each list is empty."""
    fake.namespace = "another"
    with pytest.raises(ClusterError, match=r"There is no namespace accidents .*kubectl create namespace acc"):
        serving.reached()


def test_who_follows_what_is_logged_is_told_the_namespace(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    served = serving.switch(NAME, FIRST, GOLDEN)
    told = serving.how_to_follow(served, served.champion)
    assert told.startswith("kubectl --namespace accidents logs --follow --selector app.kubernetes.io/inst")


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
