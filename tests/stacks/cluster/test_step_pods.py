"""What a step's pod is told: locked down, with what the stack file and the step's own settings ask for."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from zenml.config.resource_settings import ResourceSettings
from zenml.config.step_configurations import Step
from zenml.enums import StackComponentType
from zenml.integrations.kubernetes.orchestrators import KubernetesOrchestrator
from zenml.orchestrators import SubmissionResult

from accidents.predictions.store import VARIABLE
from pipelines.code import RunsInImage
from stacks.cluster.namespace import Namespace
from stacks.components.kubernetes_image.config import KubernetesImageConfig
from stacks.components.kubernetes_image.orchestrator import KubernetesImageOrchestrator, _watched
from stacks.errors import StackError
from tests.fake_kubernetes import FakeKubernetes

POD = {
    "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}},
    "node_selectors": {"pool": "training"},
    "tolerations": [{"key": "training", "operator": "Exists", "effect": "NoSchedule"}],
}


def orchestrator(pod: dict[str, Any], **settings: Any) -> KubernetesImageOrchestrator:
    now, config = datetime.now(UTC), KubernetesImageConfig(pod=pod, **settings)
    return KubernetesImageOrchestrator(
        name="pods", id=uuid4(), config=config, flavor="kubernetes_image",
        type=StackComponentType.ORCHESTRATOR, user=None, created=now, updated=now,
    )  # fmt: skip


def step(**settings: Any) -> Step:
    config = {"name": "train_model", "settings": settings}
    source = "steps.training.train_model.train_model"
    spec = {"source": source, "upstream_steps": [], "invocation_id": "train"}
    return Step.model_validate({"spec": spec, "config": config, "step_config_overrides": config})


@pytest.mark.parametrize(
    ("asked", "requests", "limits"),
    [
        ({}, {"cpu": "250m", "memory": "1Gi"}, None),
        ({"memory": "16GiB"}, {"cpu": "250m", "memory": "16384Mi"}, {"memory": "16384Mi"}),
        ({"cpu_count": 1.5}, {"cpu": "1.5", "memory": "1Gi"}, {}),
        (
            {"gpu_count": 1},
            {"cpu": "250m", "memory": "1Gi", "nvidia.com/gpu": "1"},
            {"nvidia.com/gpu": "1"},
        ),
    ],
)
def test_a_step_gets_what_it_asks_for_over_what_the_stack_file_says(
    asked: dict[str, Any], requests: dict[str, str], limits: dict[str, str] | None
) -> None:
    settings = {"resources": ResourceSettings(**asked)} if asked else {}
    found = orchestrator(POD).get_settings(step(**settings)).pod_settings
    assert found is not None
    assert found.resources.get("requests") == requests
    assert found.resources.get("limits") == limits
    assert found.node_selectors == {"pool": "training"}
    assert [each["key"] for each in found.tolerations] == ["training"]
    context = found.container_security_context
    assert context["readOnlyRootFilesystem"] is context["runAsNonRoot"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_a_step_gets_the_prediction_stores_address_from_a_secret_and_runs_where_there_is_none() -> None:
    found = orchestrator({"env": [{"name": "A", "value": "1"}]}, database_secret="db").get_settings(step())
    assert found.pod_settings is not None
    secret = {"name": "db", "key": "url", "optional": True}
    wanted = {"name": VARIABLE, "valueFrom": {"secretKeyRef": secret}}
    assert wanted in found.pod_settings.env
    assert {"name": "A", "value": "1"} in found.pod_settings.env
    assert VARIABLE not in str(orchestrator({}).get_settings(step()).pod_settings)


def test_two_steps_do_not_share_what_they_are_told() -> None:
    pods = orchestrator(POD)
    asked = {"resources": ResourceSettings(memory="16GiB")}
    assert pods.get_settings(step(**asked)).pod_settings != pods.get_settings(step()).pod_settings


def test_nothing_is_built_and_no_code_is_uploaded_or_fetched() -> None:
    (build,) = orchestrator(POD).get_docker_builds(None)  # type: ignore[arg-type]
    assert build.settings.skip_build
    assert build.should_include_files(None)  # to ZenML the code is in the image, as it is
    assert not build.should_download_files(None)


def test_the_secret_with_a_runs_token_goes_with_a_job_that_never_ran_and_stays_while_it_runs(
    fake: FakeKubernetes, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's own pod deletes it; a connection that is lost while that goes on ends no step."""
    run, secret = SimpleNamespace(id="r1"), "zenml-token-s1"
    fake.objects["secrets", secret] = {"metadata": {"name": secret}}
    fake.objects["jobs", "run-1"] = {"metadata": {"name": "run-1", "labels": {"run_id": "r1"}}}

    def submitted(*_: Any) -> SubmissionResult:
        def wait() -> None:
            raise RuntimeError("Job not found")

        return SubmissionResult(wait_for_completion=wait)

    monkeypatch.setattr(KubernetesOrchestrator, "_submit_orchestrator_job", submitted)
    monkeypatch.setattr(KubernetesImageOrchestrator, "_namespace", namespace)
    pods = orchestrator({}, pass_zenml_token_as_secret=True)
    for left in ([secret], []):
        result = pods._submit_orchestrator_job(SimpleNamespace(id="s1"), [], [], {}, run)  # type: ignore[arg-type]
        assert result is not None
        assert result.wait_for_completion is not None
        with pytest.raises(RuntimeError):
            result.wait_for_completion()
        assert fake.names("secrets") == left
        fake.objects.pop(("jobs", "run-1"), None)


@pytest.mark.parametrize("failed", [True, False])
def test_a_run_that_failed_though_the_wait_was_well_says_what_was_wrong_with_its_pod(failed: bool) -> None:
    """So it is where a step was ended for its memory: seen on a real cluster."""
    reason = "Pod train-1, container main was ended for its memory: raise its memory limit."
    pods: Any = SimpleNamespace(looked_at=nullcontext, reason=lambda: reason)
    waiting = _watched(lambda: None, pods, "", lambda: failed)
    if not failed:  # it got over it
        waiting()
        return
    with pytest.raises(StackError, match="was ended for its memory"):
        waiting()


def test_a_check_tells_of_a_namespace_that_is_not_there(
    fake: FakeKubernetes, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KubernetesImageOrchestrator, "_namespace", namespace)
    assert "grants what is needed in namespace accidents" in orchestrator({}).reached()
    fake.namespace = "another"
    with pytest.raises(StackError, match="There is no namespace accidents in this cluster"):
        orchestrator({}).reached()


def test_its_runs_are_of_the_image_also_where_a_pipeline_asks_for_this_machine() -> None:
    pods = orchestrator(POD)
    assert isinstance(pods, RunsInImage)
    assert not pods.keeps_here
