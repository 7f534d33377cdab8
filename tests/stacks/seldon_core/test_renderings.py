"""What each runtime makes of the same description: who answers how much, under which name, in which pods."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stacks import fetch_bundle
from stacks.components.seldon_core.description import CANDIDATE, Served, ServedBundle
from stacks.components.seldon_core.model_pod import MODELS
from stacks.components.seldon_core.renderings import RENDERINGS
from stacks.components.seldon_core.settings import Runtime, SeldonCoreSettings
from stacks.components.trials import CHAMPION
from tests.conftest import ROOT

NAME = "severity"
FIRST = ServedBundle("1", "1" * 64, "s3://bucket/1")
SHADOW = ServedBundle("3", "3" * 64, "s3://bucket/3", "shadow", 0)
CHALLENGER = ServedBundle("2", "2" * 64, "s3://bucket/2", "challenger", 10)
TRIED = Served(NAME, FIRST).with_beside(CHALLENGER).with_beside(SHADOW)


def rendered(runtime: Runtime, served: Served = TRIED, **settings: Any) -> list[dict[str, Any]]:
    return RENDERINGS[runtime].render(served, SeldonCoreSettings(runtime=runtime, **settings))


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what runs in the pods of each version, by its role."""
    found: dict[str, dict[str, Any]] = {}
    for each in objects:
        templates = {
            "Deployment": lambda spec: [spec["template"]],
            "SeldonDeployment": lambda spec: [one["componentSpecs"][0] for one in spec["predictors"]],
            "InferenceService": lambda spec: [{"metadata": spec["predictor"], "spec": spec["predictor"]}],
        }
        for template in templates.get(each["kind"], lambda _: [])(each["spec"]):
            found[template["metadata"]["labels"]["accidents/role"]] = template["spec"]
    return found


@pytest.mark.parametrize("runtime", RENDERINGS)
def test_each_version_is_asked_where_no_other_answers(runtime: Runtime) -> None:
    """The API shares requests out: behind one address two versions would share the champion's again."""
    rendering = RENDERINGS[runtime]
    places = [(rendering.address(TRIED, bundle), TRIED.model(bundle)) for bundle in TRIED]
    assert len(set(places)) == len(list(TRIED))


@pytest.mark.parametrize("runtime", ["deployment", "seldon", "kserve"])
def test_the_pods_of_each_version_are_its_own_and_locked_down(runtime: Runtime) -> None:
    found = pods(rendered(runtime, bucket_secret="bucket"))
    assert found.keys() == {"champion", "challenger", "shadow"}
    for role, pod in found.items():
        (fetching,), (serving,) = pod["initContainers"], pod["containers"]
        bundle = TRIED.in_role(role)
        assert bundle is not None
        assert {bundle.uri, bundle.digest, bundle.version, TRIED.model(bundle)} <= set(fetching["command"])
        assert fetching["envFrom"] == [{"secretRef": {"name": "bucket"}}]
        assert "envFrom" not in serving  # what serves needs no login
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (fetching, serving):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert {"requests", "limits"} <= container["resources"].keys()


@pytest.mark.parametrize("runtime", ["deployment", "seldon", "kserve"])
def test_a_pod_is_ready_when_its_model_is_and_lives_as_long_as_its_server(runtime: Runtime) -> None:
    for role, pod in pods(rendered(runtime, ready_timeout=601)).items():
        bundle = TRIED.in_role(role)
        assert bundle is not None
        (serving,) = pod["containers"]
        ready = f"/v2/models/{TRIED.model(bundle)}/ready"
        assert serving["readinessProbe"]["httpGet"]["path"] == ready
        assert serving["startupProbe"]["httpGet"]["path"] == ready
        probe = serving["startupProbe"]
        assert (
            probe["periodSeconds"] * probe["failureThreshold"] >= 601
        )  # it is not ended while it is waited for
        assert serving["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


def test_only_the_champion_tells_the_routes() -> None:
    found = pods(rendered("deployment"))
    told = {role for role, pod in found.items() if "routes" in {each["name"] for each in pod["volumes"]}}
    assert told == {"champion"}


def test_seldon_is_told_shares_that_add_up_and_a_shadow_that_answers_nobody() -> None:
    (seldon, _) = rendered("seldon")
    shares = {each["name"]: each["traffic"] for each in seldon["spec"]["predictors"]}
    assert shares == {"champion": 90, "challenger": 10, "shadow": 0}
    assert [each["name"] for each in seldon["spec"]["predictors"] if each.get("shadow")] == ["shadow"]
    assert seldon["spec"]["protocol"] == "v2"


def test_the_model_server_loads_each_role() -> None:
    """It does not load what a killed deployment on one machine has left, known by the end of its name."""
    program = (ROOT / "serving" / "runtime" / "guarded_mlserver.py").read_text(encoding="utf-8")
    (left,) = re.findall(r'^_CANDIDATE = "(.+)"$', program, flags=re.M)
    for role in (CHAMPION, CANDIDATE, "challenger", "shadow"):
        assert not Served(NAME, FIRST).model(replace(FIRST, role=role)).endswith(left)


@pytest.mark.parametrize("runtime", ["deployment", "seldon", "kserve"])
def test_a_candidate_changes_no_object_of_what_serves(runtime: Runtime) -> None:
    candidate = replace(FIRST, version="3", role="proving", share=0)
    with_candidate = rendered(runtime, TRIED.with_beside(candidate))
    assert [each for each in rendered(runtime) if each not in with_candidate] == []
    aside = [each for each in with_candidate if each not in rendered(runtime)]
    assert {each["metadata"]["name"] for each in aside} == {f"{NAME}-proving"}


def test_seldon_2_shares_out_and_mirrors_under_a_name_of_its_own() -> None:
    (experiment,) = [each for each in rendered("seldon2") if each["kind"] == "Experiment"]
    assert experiment["spec"] == {
        "candidates": [{"name": NAME, "weight": 90}, {"name": f"{NAME}-challenger", "weight": 10}],
        "mirror": {"name": f"{NAME}-shadow", "percent": 100},
    }
    assert {each["kind"] for each in rendered("seldon2", Served(NAME, FIRST))} == {"Model"}


def test_kserve_makes_plain_deployments() -> None:
    services = [each for each in rendered("kserve") if each["kind"] == "InferenceService"]
    assert [each["metadata"]["name"] for each in services] == [TRIED.model(bundle) for bundle in TRIED]
    modes = {each["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] for each in services}
    assert modes == {"RawDeployment"}


def test_kserve_is_told_that_the_server_speaks_the_second_protocol() -> None:
    """Of a container of somebody else's KServe reads it from a variable, and takes it for v1 without one."""
    for each in rendered("kserve", replicas=1):
        (container,) = each["spec"]["predictor"]["containers"]
        assert {"name": "PROTOCOL", "value": "v2"} in container["env"]


@pytest.mark.parametrize("runtime", ["deployment", "seldon", "kserve", "seldon2"])
def test_the_champion_alone_follows_the_load(runtime: Runtime) -> None:
    text = str(rendered(runtime, replicas=2, max_replicas=7))
    assert text.count("'maxReplicas': 7") == 1
    assert "'maxReplicas': 7" not in str(rendered(runtime, replicas=2))


@pytest.mark.parametrize("runtime", ["deployment", "seldon", "kserve"])
def test_a_budget_keeps_all_pods_of_the_champion_but_one_and_none_where_there_is_always_one(
    runtime: Runtime,
) -> None:
    for settings in ({}, {"replicas": 1, "max_replicas": 4}):
        (budget,) = [each for each in rendered(runtime, **settings) if each["kind"] == "PodDisruptionBudget"]
        assert budget["metadata"]["name"] == NAME
        assert budget["spec"]["maxUnavailable"] == 1
        labels = {"app.kubernetes.io/instance": NAME, "accidents/role": "champion"}
        assert budget["spec"]["selector"] == {"matchLabels": labels}
        assert budget["kind"] in RENDERINGS[runtime].kinds  # what is not, stays after a stop
    alone = rendered(runtime, replicas=1)
    assert "PodDisruptionBudget" not in {each["kind"] for each in alone}


def test_requests_count_beside_the_processors_where_they_are_set() -> None:
    objects = rendered("deployment", max_replicas=5, requests_target=50, cpu_target=60)
    (autoscaler,) = [each for each in objects if each["kind"] == "HorizontalPodAutoscaler"]
    cpu, requests = autoscaler["spec"]["metrics"]
    assert cpu["resource"]["target"]["averageUtilization"] == 60
    assert requests["pods"]["target"] == {"type": "AverageValue", "averageValue": "50"}
    (deployment, *_) = objects
    assert "replicas" not in deployment["spec"]  # it would undo what the autoscaler does


@pytest.mark.parametrize("runtime", ["deployment", "seldon", "kserve"])
def test_pods_have_the_labels_that_are_set_beside_ours(runtime: Runtime) -> None:
    theirs = {"azure.workload.identity/use": "true", "accidents/role": "theirs"}
    objects = rendered(runtime, pod_labels=theirs)
    assert pods(objects).keys() == {"champion", "challenger", "shadow"}
    assert str(objects).count("'azure.workload.identity/use': 'true'") == 3


@pytest.mark.parametrize("runtime", ["seldon", "kserve"])
def test_a_platforms_own_initializer_brings_the_bundle_where_that_is_set(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours then needs no login, and writes down alone what the model server checks when it loads."""
    (champion, *_) = rendered(runtime, Served(NAME, FIRST), storage_initializer="platform", bucket_secret="b")
    if runtime == "seldon":
        (predictor,) = champion["spec"]["predictors"]
        asked = {key: predictor["graph"][key] for key in ("modelUri", "envSecretRefName")}
        assert asked == {"modelUri": FIRST.uri, "envSecretRefName": "b"}
    else:
        (serving,) = champion["spec"]["predictor"]["containers"]
        assert {"name": "STORAGE_URI", "value": FIRST.uri} in serving["env"]
    (pod,) = pods([champion]).values()
    (writing,) = pod["initContainers"]
    assert "envFrom" not in writing
    command = [str(tmp_path) if word == MODELS else word for word in writing["command"][2:]]
    monkeypatch.setattr("sys.argv", command)
    assert fetch_bundle.main() == 0
    told = json.loads((tmp_path / NAME / "model-settings.json").read_text(encoding="utf-8"))["parameters"]
    assert (told["uri"], told["extra"]["digest"]) == ("/mnt/models", FIRST.digest)


@pytest.mark.parametrize("runtime", ["seldon", "kserve"])
def test_ours_brings_it_unless_that_is_set(runtime: Runtime) -> None:
    text = str(rendered(runtime))
    assert "modelUri" not in text
    assert "STORAGE_URI" not in text
    assert "--brought" not in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"storage_initializer": "platform", "runtime": "deployment"},
            "deployment has no storage_initializer of its own",
        ),
        ({"requests_target": 50}, "no use while max_replicas is not above replicas"),
        (
            {"requests_target": 50, "max_replicas": 5, "runtime": "kserve"},
            "kserve has no use for requests_target",
        ),
        ({"max_replicas": 1}, "max_replicas is 1, fewer than the 2 replicas"),
    ],
)
def test_a_setting_that_would_be_passed_over_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SeldonCoreSettings(**settings)


def test_a_restart_loses_no_request() -> None:
    (deployment, *_) = rendered("deployment", grace=50)
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 50
    assert "sleep" in str(pod["containers"][0]["lifecycle"]["preStop"])


def deployment_in(**status: Any) -> dict[str, Any]:
    numbers = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 2)
    return {
        "kind": "Deployment",
        "metadata": {"generation": 3},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 3, **numbers, **status},
    }


READY = [{"type": "Ready", "status": "True"}]
STUCK = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]
REFUSED = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]


@pytest.mark.parametrize(
    ("runtime", "live", "fault"),
    [
        ("deployment", deployment_in(), None),
        ("deployment", deployment_in(observedGeneration=2), ""),
        ("deployment", deployment_in(replicas=3), ""),
        ("deployment", deployment_in(updatedReplicas=1), ""),
        ("deployment", deployment_in(availableReplicas=1, conditions=STUCK), "it makes no progress"),
        (
            "deployment",
            deployment_in(conditions=REFUSED),
            "The cluster refuses its pods: exceeded quota. Raise the namespace's ResourceQuota, have less "
            "run, or ask for less cpu and memory.",
        ),
        ("kserve", deployment_in(updatedReplicas=1), ""),
        ("kserve", {"kind": "InferenceService", "status": {"conditions": READY}}, None),
        ("kserve", {"kind": "InferenceService", "status": {}}, ""),
        ("seldon", {"status": {"state": "Available"}}, None),
        ("seldon", {"status": {"state": "Creating"}}, ""),
        ("seldon", {}, ""),
        ("seldon", {"status": {"state": "Failed", "description": "no image"}}, "no image"),
    ],
)
def test_a_workload_is_ready_when_its_controller_says_so_of_what_was_applied_last(
    runtime: Runtime, live: dict[str, Any], fault: str | None
) -> None:
    assert RENDERINGS[runtime].fault(live) == fault
