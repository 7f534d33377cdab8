"""A cluster for a run in Kubernetes, on a fake of its API: started, worked on, ended; what keeps it from it.

The operator is a fake too: pods of what it makes are Deployments of the fake's. tests/cluster has a real one.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import kubernetes_cluster
from engine.cluster import client_of, disconnect, disconnect_all
from engine.cluster_check import reach
from engine.errors import ClusterError
from engine.kubernetes_cluster import KubernetesCluster
from engine.settings import DaskSettings, KubernetesWorkers
from engine.tasks import each
from stacks.cluster.namespace import Namespace
from tests.dask_processes import kill, start_scheduler, start_worker
from tests.fake_kubernetes import READY, FakeKubernetes, Fault, Object, fake_kubernetes
from tests.processes import free_port

pytest.importorskip("distributed")
pytest.importorskip("kubernetes")
FOLDER = "s3://bucket/partitions"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    monkeypatch.setattr(kubernetes_cluster, "_EVERY", 0.02)
    monkeypatch.setattr(kubernetes_cluster, "_SETTLED", 0.2)
    with fake_kubernetes() as fake:
        config = {
            "clusters": [{"name": "c", "cluster": {"server": fake.url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(config), encoding="utf-8")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield fake


def operate(fake: FakeKubernetes, scheduler: Object = READY, *workers: Object) -> None:
    """Let there be an operator, and pods with these statuses; a Deployment a worker, as it makes them."""

    def make(cluster: Object) -> None:
        cluster["status"] = {"phase": "Created"}
        name = cluster["metadata"]["name"]
        for component, suffix, status in (
            ("scheduler", "scheduler", scheduler),
            *(("worker", f"default-worker-{at}", status) for at, status in enumerate(workers)),
        ):
            labels = {"dask.org/cluster-name": name, "dask.org/component": component}
            fake.pods[f"{name}-{suffix}"] = status
            fake.objects["deployments", f"{name}-{suffix}"] = {
                "metadata": {"name": f"{name}-{suffix}", "labels": labels},
                "spec": {"template": {"metadata": {"labels": labels}}},
            }

    fake.controllers["daskclusters"] = make


class Workers:
    """Stands for a client: so many workers have arrived."""

    def __init__(self, arrived: int) -> None:
        self.arrived = arrived

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": dict.fromkeys(range(self.arrived), n_workers)}


def start(workers: KubernetesWorkers) -> None:
    cluster = KubernetesCluster(workers)
    try:
        cluster.start()
    finally:
        cluster.close()


def told_of(workers: KubernetesWorkers) -> str:
    """Return why it does not start; nothing of it is left."""
    with pytest.raises(ClusterError) as error:
        client_of(DaskSettings(kubernetes=workers, folder=FOLDER))
    return str(error.value)


def waiting(reason: str, message: str = "", image: str = "registry/p:1") -> Object:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "scheduler", "image": image, "state": state}]}


UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes: memory."}],
}
CRASHED = {
    "phase": "Running",
    "containerStatuses": [
        {
            "name": "scheduler", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 128, "message": 'exec: "dask": executable not found'}},
        }
    ],
}  # fmt: skip
QUICK = KubernetesWorkers(ready_timeout=0.5)


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        (waiting("ImagePullBackOff", "not found"), r"the image registry/p:1 cannot be had \(not found\)"),
        (waiting("CreateContainerConfigError", 'secret "b" not found'), 'secret "b" not found. Create what'),
        (UNSCHEDULABLE, r"Pod accidents-\w+-scheduler-0 fits on no node: 0/3 nodes: memory\. Ask for less"),
        (CRASHED, r'exit code 128: exec: "dask": executable not found\. .* It said last: the log'),
        ({"phase": "Pending"}, r"no pod says why, after \d+ s"),
    ],
    ids=["no image", "no secret", "no node", "no Dask in the image", "silent"],
)
def test_a_scheduler_that_does_not_start_is_told_with_its_reason(
    scheduler: Object, words: str, fake: FakeKubernetes
) -> None:
    operate(fake, scheduler)
    with pytest.raises(ClusterError, match=rf"Dask's scheduler does not start in Kubernetes: .*{words}"):
        start(QUICK)
    assert fake.names("daskclusters") == []


def test_a_cluster_without_the_operators_kinds_is_told(fake: FakeKubernetes) -> None:
    fake.unknown.add("daskclusters")
    wanted = (
        r"does not know DaskCluster\. Install Dask's operator in it \(Helm chart dask-kubernetes-operator\)"
    )
    with pytest.raises(ClusterError, match=wanted):
        start(QUICK)
    with pytest.raises(ClusterError, match=wanted):
        reach(DaskSettings(kubernetes=QUICK, folder=FOLDER))


def test_an_operator_that_does_not_run_is_told(fake: FakeKubernetes) -> None:
    assert "Nobody takes care of DaskCluster accidents-" in told_of(QUICK)
    assert fake.names("daskclusters") == []


def test_a_login_without_rights_is_told(fake: FakeKubernetes) -> None:
    refused = 'daskclusters is forbidden: User "u" cannot create resource "daskclusters"'
    fake.faults.append(("POST", Fault(403, refused)))
    assert f"{refused}. Have these rights granted (kubernetes/base/rbac.yaml" in told_of(QUICK)
    fake.forbidden |= {"create daskclusters", "create pods/portforward"}
    with pytest.raises(
        ClusterError,
        match=r"may not create daskclusters, create pods/portforward in namespace accidents\. .*has them, "
        r"but for pods/portforward: docs/scaling.md\)\.",
    ):
        reach(DaskSettings(kubernetes=QUICK, folder=FOLDER))


def test_stack_check_starts_nothing(fake: FakeKubernetes) -> None:
    told = reach(DaskSettings(kubernetes=QUICK, folder=FOLDER))
    assert "grants what is needed in namespace accidents; it knows DaskCluster" in told
    assert fake.names("daskclusters") == []


def test_a_namespace_or_context_that_is_not_there_is_told(fake: FakeKubernetes) -> None:
    assert "there is no namespace other" in told_of(KubernetesWorkers(namespace="other"))
    with pytest.raises(ClusterError, match="There is no namespace other in this cluster"):
        reach(DaskSettings(kubernetes=KubernetesWorkers(namespace="other"), folder=FOLDER))
    assert "There is no context other in the kubeconfig" in told_of(KubernetesWorkers(context="other"))


def test_a_cluster_that_somebody_removes_is_told(fake: FakeKubernetes) -> None:
    fake.controllers["daskclusters"] = lambda made: fake.objects.pop(
        ("daskclusters", made["metadata"]["name"])
    )
    assert "was removed by somebody while it started" in told_of(QUICK)


def test_pods_that_a_quota_refuses_are_told(fake: FakeKubernetes) -> None:
    operate(fake)
    cluster = KubernetesCluster(QUICK)
    worker = f"{cluster.name}-default-worker-0-5f7d"
    fake.objects["events", "e1"] = {
        "metadata": {"name": "e1"},
        "involvedObject": {"name": worker},
        "message": "exceeded quota: accidents, requested: requests.memory=4Gi",
    }
    try:
        with_scheduler(cluster)
        with pytest.raises(ClusterError, match=rf"refuses a pod of {worker}: exceeded quota: accidents"):
            cluster.wait_for_workers(Workers(0))  # type: ignore[arg-type]
    finally:
        cluster.close()


def with_scheduler(cluster: KubernetesCluster) -> None:
    """Start it without a connection, which the fake has none of."""
    with pytest.raises(ClusterError, match=r"does not forward port 8786 of pod accidents-\w+-scheduler-0: "):
        cluster.start()


def test_a_run_begins_with_the_workers_that_came(
    fake: FakeKubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    operate(fake, READY, READY, UNSCHEDULABLE)
    cluster = KubernetesCluster(KubernetesWorkers(workers=2))
    try:
        with_scheduler(cluster)
        cluster.wait_for_workers(Workers(1))  # type: ignore[arg-type]
    finally:
        cluster.close()
    told = capsys.readouterr().err
    assert told.count("fits on no node: 0/3 nodes: memory.") == 1
    assert "begins with 1 of 2 workers" in told


def test_a_worker_that_came_after_a_crash_is_no_reason_to_end_the_run(
    fake: FakeKubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both pods tell of a crash; of one it is over."""
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    again = {"name": "worker", "restartCount": 1, "state": {"running": {}}, "lastState": ended}
    operate(fake, READY, {"phase": "Running", "containerStatuses": [again]}, CRASHED)
    cluster = KubernetesCluster(KubernetesWorkers(workers=2))
    try:
        with_scheduler(cluster)
        cluster.wait_for_workers(Workers(1))  # type: ignore[arg-type]
    finally:
        cluster.close()
    assert "begins with 1 of 2 workers" in capsys.readouterr().err


def test_an_evicted_pod_with_a_successor_is_no_trouble(fake: FakeKubernetes) -> None:
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}
    operate(fake, READY, evicted, {"phase": "Pending"})
    cluster = KubernetesCluster(QUICK)
    try:
        with_scheduler(cluster)
        with pytest.raises(ClusterError, match="worker does not start in Kubernetes: no pod says why"):
            cluster.wait_for_workers(Workers(0))  # type: ignore[arg-type]
    finally:
        cluster.close()


def test_one_that_cannot_be_removed_is_named(
    fake: FakeKubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    operate(fake)
    cluster = KubernetesCluster(QUICK)
    with_scheduler(cluster)
    fake.faults.append(("DELETE", Fault(403, "no right to")))
    cluster.close()
    told = capsys.readouterr().err
    assert "no right to" in told
    assert f"Do so: kubectl --namespace accidents delete daskcluster {cluster.name}" in told


def test_an_interrupted_start_leaves_nothing(fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    operate(fake, {"phase": "Pending"})

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(KubernetesCluster, "_require_operator", interrupt)
    with pytest.raises(KeyboardInterrupt):
        client_of(DaskSettings(kubernetes=QUICK, folder=FOLDER))
    assert fake.names("daskclusters") == []


def double(number: int) -> int:
    return 2 * number


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_run_works_on_its_cluster_which_goes_with_it(
    fake: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a forwarded port, which leads to processes of this machine in place of pods."""
    operate(fake, READY, READY)
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    connected = []

    def connection(_: Namespace, pod: str, to: int) -> socket.socket:
        connected.append((pod, to))
        return socket.create_connection(("127.0.0.1", port))

    monkeypatch.setattr(Namespace, "connection", connection)
    running = [start_scheduler(port, tmp_path), start_worker(address, tmp_path)]
    settings = DaskSettings(kubernetes=KubernetesWorkers(workers=1), folder=FOLDER)
    try:
        client_of(DaskSettings(scheduler=address))  # they run, as pods that are ready do
        named = [(f"part {at}", (at,)) for at in range(20)]
        assert each(settings, double, named, "Doubling") == list(range(0, 40, 2))
        (name,) = fake.names("daskclusters")
        assert set(connected) == {(f"{name}-scheduler-0", 8786)}
        assert client_of(settings) is client_of(settings)
        disconnect(settings)
        assert fake.names("daskclusters") == []
        client_of(settings)
        assert fake.names("daskclusters") != [name]
        disconnect_all()
        assert fake.names("daskclusters") == []
    finally:
        disconnect_all()
        for process in running:
            kill(process)
