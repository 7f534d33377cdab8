"""The whole chain in a cluster: steps in pods make the model that `bare` makes; API and monitor run there.

Last, benchmarks/kubernetes.py asks the API while pods restart, end and change.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from accidents.__about__ import __version__
from tests.cluster.conftest import TAG, TestNamespace, forwarded, give_login, kubectl, moved
from tests.conftest import ROOT
from tests.pipelines.conftest import Project
from tests.platform_parts import (
    PASSWORD,
    S3_KEY,
    S3_SECRET,
    running_mariadb,
    running_mlflow,
    running_s3,
    running_zenml,
    service_account_key,
)
from tests.postgres import running_postgres
from tests.processes import kill_all_of
from tests.servers.conftest import tiny_project, write_settings
from tests.servers.matrix import found_on, found_on_bare

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(5400)]
STACK, WITH_SELDON = "kubernetes-plain", "kubernetes"
PREDICTIONS = """
from zenml.client import Client
Client().create_secret("accidents", {"database_url": ADDRESS})
"""


@dataclass(frozen=True)
class Installed:
    """A project whose stack is on servers of this machine that pods reach, with the pipelines' rights.

    Attributes
    ----------
    settings : what a pod that runs a command is told.
    predictions : the prediction store's address, the same from here and from a pod.
    """

    project: Project
    settings: Mapping[str, str]
    predictions: str


@pytest.fixture(scope="module")
def installed(cluster: TestNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("platform")
    with ExitStack() as held:

        def shared(url: str) -> str:
            """Where pods reach what listens on loopback; this machine reaches it there, too."""
            return held.enter_context(forwarded(int(url.rpartition(":")[2].split("/")[0])))

        s3 = held.enter_context(running_s3(folder / "s3", "zenml", "mlflow"))
        zenml = held.enter_context(running_zenml(folder / "zenml", held.enter_context(running_mariadb())))
        postgres = held.enter_context(running_postgres())
        bucket = shared(s3.url)
        mlflow = held.enter_context(
            running_mlflow(folder / "mlflow", postgres.new_database(), s3, "mlflow", bucket)
        )
        project = tiny_project(folder / "a project")
        project.timeout = 3600.0  # a step is the start of a pod
        held.callback(kill_all_of, project.folder)
        settings = {
            "S3_ENDPOINT": bucket, "S3_ACCESS_KEY": S3_KEY, "S3_SECRET_KEY": S3_SECRET,
            "MLFLOW_SERVER": shared(mlflow.url), "MLFLOW_PASSWORD": PASSWORD,
            "KUBERNETES_CONTEXT": context_of(cluster.kubeconfig), "KUBERNETES_NAMESPACE": cluster.name,
            "PIPELINES_IMAGE": f"road-accidents/pipelines:{TAG}",
            "MODEL_SERVER_IMAGE": f"road-accidents/model-server:{TAG}",
            "MODEL_SERVER_CPU": "50m",  # a single node must hold all of it
        }  # fmt: skip
        write_settings(project, settings)
        give_login(cluster, bucket)
        store = {
            "ZENML_STORE_URL": shared(zenml.url),
            "ZENML_STORE_API_KEY": service_account_key(zenml, "ann"),
        }
        project.environment |= {**store, "KUBECONFIG": str(cluster.kubeconfig)}
        predictions = postgres.new_database().replace("postgresql:", "postgresql+psycopg:")
        inside = predictions.replace(
            f"127.0.0.1:{postgres.port}", shared(f":{postgres.port}").removeprefix("http://")
        )
        project.python(f"ADDRESS = {inside!r}\n{PREDICTIONS}")
        project("stack", "apply", STACK)
        project("database", "upgrade", "--stack", STACK)
        yield Installed(project, settings | store, inside)


def context_of(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["current-context"])


def test_the_same_commands_give_the_same_model_in_pods(
    installed: Installed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bare = found_on_bare(tmp_path_factory)
    found = found_on(STACK, installed.project)
    print({"seconds": found.seconds, "bare": bare.seconds})
    found.assert_same_as(bare)


@pytest.fixture(scope="module")
def api(installed: Installed, cluster: TestNamespace) -> tuple[str, str]:
    """Where the API in the cluster answers, and a key; version 1 is deployed, a version 2 registered."""
    project = installed.project
    params = (project.folder / "params.yaml").read_text(encoding="utf-8")
    (project.folder / "other.yaml").write_text(params.replace("\nseed: 7", "\nseed: 8", 1), encoding="utf-8")
    project("--pipeline", "train", "--params", "other.yaml", "--stack", STACK)
    project("--pipeline", "deploy", "--version", "1", "--stack", STACK)
    key = project("keys", "new").stdout.split("acc_")[1].split()[0]
    keys = (project.folder / ".serving" / "keys.json").read_text(encoding="utf-8")
    give_secret(cluster, "accidents-api-keys", {"keys.json": keys})
    give_secret(cluster, "accidents-database", {"url": installed.predictions})
    give_secret(cluster, "accidents-stack", installed.settings)
    for document in overlay():
        kubectl("apply", "--filename", "-", give=json.dumps(moved(document, cluster.name)))
    cluster.admin("rollout", "status", "deployment/accidents-api", "--timeout=300s")
    node = json.loads(kubectl("get", "nodes", "--output", "json"))["items"][0]
    (address,) = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
    port = cluster.admin("get", "service", "accidents-api", "--output", "jsonpath={.spec.ports[0].nodePort}")
    return f"http://{address}:{port}", f"acc_{key}"


def overlay() -> list[dict[str, Any]]:
    """The overlay for one machine, with the images and the stack of the test."""
    text = kubectl("kustomize", str(ROOT / "kubernetes" / "overlays" / "kind"))
    for image in ("api", "pipelines"):
        text = text.replace(f"road-accidents/{image}:{__version__}", f"road-accidents/{image}:{TAG}")
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(text))
    for document in documents:
        if document["kind"] == "CronJob":
            pod = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            pod["containers"][0]["command"][-1] = STACK
        if document["kind"] == "HorizontalPodAutoscaler":
            document["spec"]["minReplicas"] = 2  # one that is evicted has no other
    return documents


def give_secret(cluster: TestNamespace, name: str, content: Mapping[str, str]) -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
    cluster.admin("apply", "--filename", "-", give=json.dumps(secret))


def test_the_api_in_the_cluster_answers_with_the_version_that_is_deployed(api: tuple[str, str]) -> None:
    address, key = api
    accident = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))
    answer = httpx.post(f"{address}/predict", json=accident, headers={"X-API-Key": key}, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] | {"name": "", "stage": "", "synthetic": ""} == {
        "name": "", "version": "1", "role": "champion", "stage": "", "synthetic": "",
    }  # fmt: skip
    assert httpx.post(f"{address}/predict", json=accident, timeout=30).status_code == 401


def test_nobody_who_calls_notices_what_happens_to_pods(
    installed: Installed, api: tuple[str, str], cluster: TestNamespace
) -> None:
    project, (address, key) = installed.project, api
    project.environment |= {
        "CLUSTER_API": address, "CLUSTER_KEY": key, "CLUSTER_NAMESPACE": cluster.name, "CLUSTER_STACK": STACK,
        "ACCIDENTS_DATABASE_URL": installed.predictions, "CLUSTER_ADMIN": os.environ["KUBECONFIG"],
    }  # fmt: skip
    results = project.folder / "results"
    words = ("--results", str(results), "--document", str(results / "document.md"))
    print(project.shell(sys.executable, "-m", "benchmarks", "kubernetes", *words).stdout)
    figures = json.loads((results / "kubernetes.json").read_text(encoding="utf-8"))["outcome"]["figures"]
    assert [figure for figure in figures if figure["met"] is False] == []


def test_the_monitors_job_looks_at_the_log_in_a_pod(api: tuple[str, str], cluster: TestNamespace) -> None:
    cluster.admin("create", "job", "monitor-now", "--from=cronjob/accidents-monitor")
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        status = json.loads(cluster.admin("get", "job", "monitor-now", "--output", "json"))["status"]
        if status.get("succeeded") or status.get("failed"):
            break
        time.sleep(3)
    said = cluster.admin("logs", "--selector", "job-name=monitor-now", "--tail", "200")
    print(said)
    assert status.get("succeeded"), said


def test_seldon_core_serves_what_the_pods_made(
    installed: Installed, cluster: TestNamespace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """After the other stack, whose model server is stopped first: both serve under the model's name."""
    project = installed.project
    project("stop", "--stack", STACK)
    project("stack", "apply", WITH_SELDON)
    found = found_on(WITH_SELDON, project)
    print({"seconds": found.seconds})
    found.assert_same_as(found_on_bare(tmp_path_factory))
    assert not json.loads(cluster.admin("get", "seldondeployments", "--output", "json"))["items"], "stopped"
