"""What a real cluster says of every overlay, and of what each runtime makes: a dry run of its server.

Of kinds that are not installed it can say nothing: skipped with their names, once the others held.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from stacks.components.seldon_core.description import CANDIDATE, Served, ServedBundle
from stacks.components.seldon_core.renderings import RENDERINGS
from stacks.components.seldon_core.settings import Runtime, SeldonCoreSettings
from tests.cluster.conftest import KUBECTL, TestNamespace, kubectl, kustomized, moved
from tests.conftest import ROOT
from tests.workflows.test_rollout import rollout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
IN_OVERLAYS = "".join(
    each.read_text() for each in (ROOT / "kubernetes").glob("overlays/*/kustomization.yaml")
)
ALONE = sorted(
    each.name
    for each in (ROOT / "kubernetes" / "components").iterdir()
    if f"components/{each.name}\n" not in IN_OVERLAYS
)
FIRST = ServedBundle("1", "1" * 64, "s3://bucket/1")
TRIED = (
    Served("severity", FIRST)
    .with_beside(ServedBundle("2", "2" * 64, "s3://bucket/2", "challenger", 10))
    .with_beside(ServedBundle("3", "3" * 64, "s3://bucket/3", "shadow", 0))
    .with_beside(ServedBundle("4", "4" * 64, "s3://bucket/4", CANDIDATE, 0))
)
SETTINGS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "everything": {
        "max_replicas": 5, "bucket_secret": "accidents-bucket", "service_account": "accidents-models",
        "image_pull_secret": "login", "node_selector": {"pool": "models"}, "pod_labels": {"team": "roads"},
        "tolerations": [{"key": "models", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "one, no budget": {"replicas": 1},
}  # fmt: skip


@pytest.mark.parametrize("overlay", ["dev", "prod", "kind", "dask"])
def test_a_cluster_takes_each_overlay(overlay: str, cluster: TestNamespace) -> None:
    taken(cluster, [moved(document, cluster.name) for document in kustomized(overlay)])


@pytest.mark.parametrize("component", ALONE)
def test_a_cluster_takes_each_component_that_no_overlay_has(component: str, cluster: TestNamespace) -> None:
    taken(cluster, [moved(document, cluster.name) for document in kustomized("dev", [component])])


@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("runtime", RENDERINGS)
def test_a_cluster_takes_what_each_runtime_makes(runtime: Runtime, how: str, cluster: TestNamespace) -> None:
    settings = SeldonCoreSettings(runtime=runtime, namespace=cluster.name, **SETTINGS[how])
    taken(cluster, RENDERINGS[runtime].render(TRIED, settings))


@pytest.mark.parametrize("runtime", ["seldon", "kserve"])
def test_a_cluster_takes_what_has_the_platform_fetch_the_bundle(
    runtime: Runtime, cluster: TestNamespace
) -> None:
    settings = SeldonCoreSettings(
        runtime=runtime, namespace=cluster.name, storage_initializer="platform", bucket_secret="login"
    )
    taken(cluster, RENDERINGS[runtime].render(TRIED, settings))


def test_a_cluster_refuses_a_field_that_it_does_not_know(cluster: TestNamespace) -> None:
    """Or the others would prove nothing."""
    rendered = RENDERINGS["deployment"].render(TRIED, SeldonCoreSettings(runtime="deployment"))
    wrong = {**rendered[0], "spec": {**rendered[0]["spec"], "replica": 3}}
    wrong["metadata"] = {**wrong["metadata"], "namespace": cluster.name}
    with pytest.raises(AssertionError, match=r"replica"):
        taken(cluster, [wrong])


def test_a_release_goes_over_what_was_installed_without_server_side_apply(
    cluster: TestNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (api,) = [each for each in kustomized("dev") if each["kind"] == "Deployment"]
    api = moved(api, cluster.name)
    api["spec"]["replicas"] = 0  # ready without an image
    cluster.admin("apply", "--filename", "-", give=json.dumps(api))
    (container,) = api["spec"]["template"]["spec"]["containers"]
    container["image"] = "registry.test/api@sha256:" + "0" * 64
    monkeypatch.setenv("KUBERNETES_NAMESPACE", cluster.name)
    monkeypatch.setenv("PATH", str(Path(KUBECTL).parent), prepend=os.pathsep)
    rollout().roll_out([api], "accidents-api")
    live = json.loads(cluster.admin("get", "deployment", "accidents-api", "--output", "json"))
    cluster.admin("delete", "deployment", "accidents-api")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == container["image"]


def taken(cluster: TestNamespace, documents: list[dict[str, Any]]) -> None:
    """Have the server check objects as if they were applied."""
    lines = kubectl("api-resources", "--no-headers").splitlines()
    installed = {(line.split()[-1], line.split()[-3]) for line in lines}
    known = [each for each in documents if (each["kind"], each["apiVersion"]) in installed]
    if known:
        words = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts")
        content = {"apiVersion": "v1", "kind": "List", "items": known}
        said = cluster.admin(*words, "--filename", "-", give=json.dumps(content))
        assert said.count("serverside-applied (server dry run)") == len(known)
    missing = sorted({each["kind"] for each in documents if each not in known})
    if missing:
        pytest.skip(f"this cluster does not know {', '.join(missing)}")
