"""Dask for a run, on a real cluster with Dask's operator: started, worked on, ended; what keeps it from it.

    KUBECONFIG=... CLUSTER_HOST=ADDRESS DASK_IMAGE=NAME python -m pytest tests/cluster/test_dask.py

DASK_IMAGE, from `make images WITH=dask` of this very code, must be on the nodes. The operator may run here:
`kopf run --module dask_kubernetes.operator.controller --all-namespaces`, in an environment of its own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import neg
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.cluster import client_of, disconnect_all
from engine.cluster_check import reach, share_folder
from engine.errors import ClusterError
from engine.settings import DaskSettings, KubernetesWorkers
from engine.tasks import each
from tests.cluster.conftest import BUCKET, TestNamespace, kubectl
from tests.pipelines.test_engines import bundles
from tests.processes import kill_all_of
from tests.servers.conftest import tiny_project

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Mismatched versions found"),  # of Python's last figure, here and there
]
KIND = "daskclusters.kubernetes.dask.org"
FORWARD = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "forward"},
    "rules": [{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]}],
}
IN_A_POD = """
from operator import neg
from engine.cluster import client_of, disconnect_all
from engine.settings import DaskSettings
settings = DaskSettings.model_validate_json(SETTINGS)
client = client_of(settings)
print("scheduler", client.scheduler.address)
print("owners", client.submit(neg, 21).result())
disconnect_all()
"""


@pytest.fixture(scope="module")
def workers(cluster: TestNamespace, bucket: Path) -> Iterator[KubernetesWorkers]:
    if "DASK_IMAGE" not in os.environ:
        pytest.skip("no image with Dask: DASK_IMAGE not set (see above)")
    if KIND not in kubectl("get", "customresourcedefinitions", "--output=name"):
        pytest.skip("the cluster has no Dask operator (docs/scaling.md)")
    cluster.admin("apply", "--filename", "-", give=json.dumps(FORWARD))
    account = f"--serviceaccount={cluster.name}:accidents-pipelines"
    cluster.admin("create", "rolebinding", "forward", "--role=forward", account)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KUBECONFIG", str(cluster.kubeconfig))
        yield KubernetesWorkers(
            namespace=cluster.name, image=os.environ["DASK_IMAGE"], workers=2, cpu="100m", memory="1Gi",
            bucket_secret="accidents-bucket", ready_timeout=400,
        )  # fmt: skip
        disconnect_all()


def on(pods: KubernetesWorkers, **other: Any) -> DaskSettings:
    return DaskSettings(
        kubernetes=pods.model_copy(update=other), folder=f"s3://{BUCKET}/partitions", wait_seconds=120
    )


def left(cluster: TestNamespace) -> str:
    """Return what there is of Dask; what is being ended counts."""
    selector = "--selector=app.kubernetes.io/part-of=road-accidents"
    return cluster.admin("get", f"{KIND},deployments,services,pods", "--output=name", selector)


def until(condition: Callable[[], object], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(1)


def test_a_run_works_on_pods_that_go_with_it(cluster: TestNamespace, workers: KubernetesWorkers) -> None:
    settings = on(workers)
    assert "it knows DaskCluster" in reach(settings)
    assert left(cluster) == "", "to look starts nothing"
    try:
        named = [(f"part {at}", (at,)) for at in range(40)]
        done = each(settings, neg, named, "Negating")  # workers have no module of the tests
        assert done == [-at for at in range(40)]
        assert "one of 2 workers wrote to" in share_folder(settings)
        limits = {each["memory_limit"] for each in client_of(settings).scheduler_info()["workers"].values()}
        assert limits == {2**30 * 7 // 8}
        assert left(cluster).count("pod/") == 3
    finally:
        disconnect_all()
    until(lambda: not left(cluster))


def test_a_training_on_pods_makes_the_model_of_this_machine(
    cluster: TestNamespace, workers: KubernetesWorkers, tmp_path: Path
) -> None:
    project, config = tiny_project(tmp_path / "project"), tmp_path / "pods.yaml"
    project.environment["KUBECONFIG"] = str(cluster.kubeconfig)
    pods = on(workers, cpu="500m", memory="3Gi").model_dump(exclude={"scheduler", "local"})
    config.write_text(yaml.safe_dump({"engine": "dask", "dask": pods}))
    train = ("--pipeline", "train", "--stack", "bare")
    try:
        project(*train)
        told = project(*train, "--config", str(config), cold=True)
        assert "starts in namespace" in told.stderr
        assert "this is version 1, nothing was registered" in " ".join(told.stdout.split())
        on_pods, here = bundles(project)
        assert on_pods == here
    finally:
        kill_all_of(project.folder)
    until(lambda: not left(cluster))


def test_a_step_in_a_pod_has_the_rights_for_it(cluster: TestNamespace, workers: KubernetesWorkers) -> None:
    settings = on(workers, workers=1)
    program = IN_A_POD.replace("SETTINGS", repr(settings.model_dump_json()))
    locked = {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
        "readOnlyRootFilesystem": True, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "step", "labels": {"app.kubernetes.io/name": "step"}},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": "accidents-pipelines",
            "enableServiceLinks": True,
            "containers": [
                {
                    "name": "step", "image": workers.image, "command": ["python", "-c", program],
                    "securityContext": locked, "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }  # fmt: skip
    cluster.admin("apply", "--filename", "-", give=json.dumps(pod))
    try:
        until(lambda: owner_of_the_cluster(cluster) == "step", 300)
        phase = ("get", "pod", "step", "--output=jsonpath={.status.phase}")
        until(lambda: cluster.admin(*phase) in ("Succeeded", "Failed"), 400)
        said = cluster.admin("logs", "step")
        assert f"-scheduler.{cluster.name}:8786" in said
        assert "owners -21" in said
    finally:
        cluster.admin("delete", "pod", "step")
    until(lambda: not left(cluster))


def owner_of_the_cluster(cluster: TestNamespace) -> str:
    return cluster.admin("get", KIND, "--output=jsonpath={.items[*].metadata.ownerReferences[*].name}")


def test_a_cluster_goes_with_the_pod_that_began_it(
    cluster: TestNamespace, workers: KubernetesWorkers
) -> None:
    """Where nobody is left to end it."""
    from engine.kubernetes_manifest import cluster_manifest

    pause = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stands-for-a-pod"}}
    cluster.admin("apply", "--filename", "-", give=json.dumps(pause))
    owner = json.loads(cluster.admin("get", "configmap", "stands-for-a-pod", "--output=json"))
    made = cluster_manifest("accidents-orphan", workers.model_copy(update={"workers": 1}), owner)
    made["metadata"]["ownerReferences"][0]["kind"] = "ConfigMap"
    cluster.admin("apply", "--filename", "-", give=json.dumps(made))
    until(lambda: left(cluster).count("pod/") == 2)
    cluster.admin("delete", "configmap", "stands-for-a-pod")
    until(lambda: not left(cluster))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"image": "registry.invalid/none:1"}, "image registry.invalid/none:1 cannot be had"),
        ({"cpu": "500", "ready_timeout": 60}, "fits on no node: .*Insufficient cpu"),
        ({"bucket_secret": "none"}, 'secret "none" not found. Create what is missing'),
        ({"service_account": "none", "ready_timeout": 60}, 'serviceaccount "none" not found'),
        ({"image": "localhost/busybox:1"}, '"dask": executable file not found'),
    ],
    ids=["no image", "no node", "no secret", "no account", "no Dask"],
)
def test_what_keeps_it_from_starting_is_told(
    other: dict[str, Any], words: str, cluster: TestNamespace, workers: KubernetesWorkers
) -> None:
    with pytest.raises(ClusterError, match=words):
        client_of(on(workers, **other))
    until(lambda: not left(cluster))


def test_a_quota_that_is_spent_is_told(cluster: TestNamespace, workers: KubernetesWorkers) -> None:
    """By its pods' makers alone; a run begins with the workers that there was room for."""
    cluster.admin("create", "quota", "small", "--hard=pods=2")
    try:
        settings = on(workers)
        client = client_of(settings)
        assert len(client.scheduler_info()["workers"]) == 1
        disconnect_all()
        until(lambda: not left(cluster))
        cluster.admin("delete", "quota", "small")
        cluster.admin("create", "quota", "small", "--hard=pods=1")
        with pytest.raises(ClusterError, match=r"refuses a pod of accidents-.*exceeded quota: small"):
            client_of(on(workers, ready_timeout=60))
        until(lambda: not left(cluster))
    finally:
        disconnect_all()
        cluster.admin("delete", "quota", "small")


@contextmanager
def without(cluster: TestNamespace, binding: str) -> Iterator[None]:
    """Have nobody the rights of a RoleBinding meanwhile."""
    content = json.loads(cluster.admin("get", "rolebinding", binding, "--output=json"))
    content["metadata"] = {"name": binding, "labels": content["metadata"].get("labels", {})}
    cluster.admin("delete", "rolebinding", binding)
    try:
        yield
    finally:
        cluster.admin("create", "--filename", "-", give=json.dumps(content))


def test_rights_that_are_missing_are_told(cluster: TestNamespace, workers: KubernetesWorkers) -> None:
    with without(cluster, "forward"):
        with pytest.raises(ClusterError, match="may not get pods/portforward, create pods/portforward"):
            reach(on(workers))
        with pytest.raises(ClusterError, match=r"does not forward port 8786 of pod .*403.*pods/portforward"):
            client_of(on(workers))
        until(lambda: not left(cluster))
        with (
            without(cluster, "accidents-pipelines"),
            pytest.raises(ClusterError, match="cannot create resource"),
        ):
            client_of(on(workers))
    assert left(cluster) == ""
