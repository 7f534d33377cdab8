"""The DaskCluster of a run: valid, locked down, of our image, and known to the network policies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from accidents.__about__ import __version__
from engine.kubernetes_manifest import cluster_manifest
from engine.settings import DaskSettings, KubernetesWorkers
from engine.worker_environment import MALLOC
from tests.conftest import ROOT

pytest.importorskip("dask")
NAME = "accidents-0a1b2c3d"
FULL = KubernetesWorkers(
    workers=3, threads=2, cpu="1500m", memory="6Gi", bucket_secret="accidents-bucket", image="registry/p:1",
    image_pull_secret="login", service_account="dask", node_selector={"pool": "large"},
    tolerations=[{"key": "large", "operator": "Exists"}],
)  # fmt: skip


def parts_of(workers: KubernetesWorkers) -> tuple[dict[str, Any], dict[str, Any]]:
    spec = cluster_manifest(NAME, workers, None)["spec"]
    return spec["scheduler"], spec["worker"]


def as_objects(workers: KubernetesWorkers) -> list[dict[str, Any]]:
    """Return what the operator makes of it, as far as Kubernetes has a schema for that."""
    scheduler, worker = parts_of(workers)
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "x", **part["metadata"]},
            "spec": part["spec"],
        }
        for part in (scheduler, worker)
    ]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": scheduler["service"]}
    return [*pods, service]


@pytest.mark.parametrize("workers", [KubernetesWorkers(), FULL], ids=["by default", "with all"])
def test_pods_and_service_are_valid(workers: KubernetesWorkers, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all(as_objects(workers)), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "kubernetes_validate", "--strict", "--quiet", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def deployed(file: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((ROOT / "kubernetes/components/dask" / file).read_text(encoding="utf-8"))
    return next(dict(each["spec"]["template"]) for each in documents if each["kind"] == "Deployment")


@pytest.mark.parametrize("at", [0, 1], ids=["scheduler", "worker"])
def test_pods_are_as_those_of_the_cluster_that_stays(at: int) -> None:
    """By the same rights, ports and labels, which network policies and Pod Security look at."""
    theirs, ours = deployed(("scheduler.yaml", "workers.yaml")[at]), parts_of(KubernetesWorkers())[at]
    for name in ("automountServiceAccountToken", "enableServiceLinks", "securityContext", "volumes"):
        assert ours["spec"][name] == theirs["spec"][name]
    (container,), (wanted,) = ours["spec"]["containers"], theirs["spec"]["containers"]
    for name in ("name", "ports", "resources", "securityContext", "volumeMounts"):
        assert container[name] == wanted[name]
    environments = [{each["name"]: each["value"] for each in one["env"]} for one in (container, wanted)]
    for setting, size in MALLOC.items():
        expected = str(size) if at else None  # a scheduler holds no data
        assert [environment.get(setting) for environment in environments] == [expected, expected]
    assert container["image"] == f"{wanted['image']}:{__version__}"
    role = "app.kubernetes.io/name"
    assert ours["metadata"]["labels"][role] == theirs["metadata"]["labels"][role]
    instance = "app.kubernetes.io/instance"  # by which the service that stays leads to its own scheduler
    assert ours["metadata"]["labels"][instance] == NAME != theirs["metadata"]["labels"][instance]


def test_what_is_set_is_in_it() -> None:
    scheduler, worker = parts_of(FULL)
    assert worker["replicas"] == 3
    for part in (scheduler, worker):
        assert part["spec"]["imagePullSecrets"] == [{"name": "login"}]
        assert part["spec"]["nodeSelector"] == {"pool": "large"}
        assert part["spec"]["tolerations"] == [{"key": "large", "operator": "Exists"}]
        assert part["spec"]["serviceAccountName"] == "dask"
        assert part["spec"]["containers"][0]["image"] == "registry/p:1"
    (container,) = worker["spec"]["containers"]
    size = {"cpu": "1500m", "memory": "6Gi"}
    assert container["resources"] == {"requests": size, "limits": size}
    assert container["envFrom"] == [{"secretRef": {"name": "accidents-bucket"}}]
    assert {"--nthreads=2", f"--memory-limit={6 * 2**30 * 7 // 8}"} <= set(container["command"])
    assert "envFrom" not in scheduler["spec"]["containers"][0], "it reads no partition"


def test_it_is_removed_by_others_where_its_run_cannot() -> None:
    pod = {"metadata": {"name": "step-1", "uid": "u"}}
    made = cluster_manifest(NAME, KubernetesWorkers(idle_timeout=900), pod)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "step-1", "uid": "u"}
    assert made["metadata"]["ownerReferences"] == [owner]
    assert made["spec"]["idleTimeout"] == 900
    (container,) = made["spec"]["scheduler"]["spec"]["containers"]
    told = {each["name"]: each["value"] for each in container["env"]}
    assert '"distributed.http.scheduler.api"' in told["DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES"]


S3 = "s3://bucket/partitions"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"kubernetes": {}}, "pods do not see .serving/partitions"),
        ({"kubernetes": {}, "folder": S3, "local": {}}, "give one of `scheduler`, `local` and `kubernetes`"),
        ({"kubernetes": {}, "folder": S3, "scheduler": "tcp://x:1"}, "give one of"),
        ({"kubernetes": {"worker": 2}, "folder": S3}, "Extra inputs are not permitted"),
        ({"kubernetes": {"memory": "4GB"}, "folder": S3}, "should match pattern"),
        ({"kubernetes": {"cpu": "two"}, "folder": S3}, "should match pattern"),
        ({"kubernetes": {"namespace": "A_b"}, "folder": S3}, "should match pattern"),
        ({"kubernetes": {"workers": 0}, "folder": S3}, "greater than or equal to 1"),
        ({"kubernetes": {"idle_timeout": 500}, "folder": S3}, "must be twice ready_timeout, or more"),
    ],
)  # fmt: skip
def test_what_could_not_be_is_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DaskSettings.model_validate(said)
    settings = DaskSettings.model_validate({"kubernetes": {}, "folder": S3})
    assert settings.names_cluster
    assert settings.is_elsewhere
