"""The whole chain in a cluster: steps in pods make the model that `bare` makes; API and monitor run there.

Last, benchmarks/kubernetes.py asks the API while pods restart, end and change.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from accidents.predictions.store import opened_store
from tests.cluster.conftest import (
    TAG,
    TestNamespace,
    forwarded,
    give_login,
    give_secret,
    install_api,
)
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
from tests.postgres import PASSWORD as DATABASE_PASSWORD
from tests.postgres import running_postgres
from tests.processes import kill_all_of
from tests.servers.conftest import tiny_project, write_settings
from tests.servers.matrix import found_on, found_on_bare

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(5400)]
STACK, WITH_SELDON = "kubernetes-plain", "kubernetes"
CACHED = """
from zenml.client import Client
run = Client().list_pipeline_runs(pipeline="train", sort_by="desc:created").items[0]
print(*(name for name, step in run.steps.items() if str(step.status) != "cached"))
"""
WALK = f"""
from accidents.params import load_params
from commands.probation import walk_up
from types import SimpleNamespace
policy = {{"monitor.probation.canary": [20, 60], "monitor.probation.minutes": 1, **CHANGED}}
params = load_params(Path("params.yaml"), policy)
print(walk_up(params, {STACK!r}, "2", "1", SimpleNamespace(require=lambda: None)))
"""
ONE_STEP = """
steps:
  train_model:
    settings:
      resources: {cpu_count: 0.3, memory: MEMORY}
"""
POD = """
      pod:
        node_selectors: {kubernetes.io/os: linux}
        tolerations: [{key: training, operator: Exists, effect: NoSchedule}]
"""


class Told(Project):
    """A project whose commands, and what they say, are printed: `pytest -s` gives the transcript."""

    def __call__(
        self, *words: str, check: bool = True, cold: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """`python run.py WORDS`."""
        started = time.monotonic()
        done = super().__call__(*words, check=check, cold=cold)
        print(f"\n$ python run.py {' '.join(words)}   # {time.monotonic() - started:.0f} s")
        print(done.stdout + done.stderr, flush=True)
        return done


@dataclass(frozen=True)
class Installed:
    """A project whose stack is on servers of this machine that pods reach, with the pipelines' rights.

    Attributes
    ----------
    settings : what its `.env` says; a pod that runs a command is told the same.
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
        project = Told(tiny_project(folder / "a project").folder)
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
        settings |= {
            "ZENML_STORE_URL": shared(zenml.url),
            "ZENML_STORE_API_KEY": service_account_key(zenml, "ann"),
        }
        write_settings(project, settings, quote="")  # `kubectl create secret` keeps quotes
        give_login(cluster, bucket)
        project.environment["KUBECONFIG"] = str(cluster.kubeconfig)
        predictions = postgres.new_database().replace("postgresql:", "postgresql+psycopg:")
        inside = predictions.replace(
            f"127.0.0.1:{postgres.port}", shared(f":{postgres.port}").removeprefix("http://")
        )
        give_secret(cluster, "accidents-database", {"url": inside})
        project.environment["ACCIDENTS_DATABASE_URL"] = inside
        stack, training = (
            project.folder / each for each in (f"stacks/{STACK}.yaml", f"configs/train.{STACK}.yaml")
        )
        account = "      service_account_name: accidents-pipelines"
        stack.write_text(
            stack.read_text(encoding="utf-8").replace(account, POD.strip("\n") + f"\n{account}", 1)
        )
        training.write_text(
            training.read_text(encoding="utf-8") + ONE_STEP.replace("MEMORY", "2GiB"), encoding="utf-8"
        )
        project("stack", "apply", STACK)
        project("database", "upgrade", "--stack", STACK)
        project("stack", "check", STACK)
        yield Installed(project, settings, inside)


def context_of(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["current-context"])


def test_the_same_commands_give_the_same_model_in_pods(
    installed: Installed, cluster: TestNamespace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bare = found_on_bare(tmp_path_factory)
    with pods_seen(cluster) as seen:
        found = found_on(STACK, installed.project)
    print({"seconds": found.seconds, "bare": bare.seconds})
    found.assert_same_as(bare)
    steps = {pod["metadata"]["labels"].get("step_name"): pod["spec"] for pod in seen.values()}
    trained = steps["train_model"]
    assert trained["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert "training" in [each.get("key") for each in trained["tolerations"]]
    assert trained["containers"][0]["resources"] == {
        "requests": {"cpu": "300m", "memory": "2Gi"}, "limits": {"memory": "2Gi"},
    }  # fmt: skip
    assert steps["split_data"]["containers"][0]["resources"]["requests"]["memory"] == "400Mi"  # ZenML's own
    streamed = re.findall(r"^  train model: Training bags of trees: \d+/\d+", found.said, re.MULTILINE)
    assert streamed, found.said


@contextmanager
def pods_seen(cluster: TestNamespace) -> Iterator[dict[str, Any]]:
    """Collect the pods that are there meanwhile, by name: those of steps go soon."""
    seen: dict[str, Any] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(5):
            items = json.loads(cluster.admin("get", "pods", "--output", "json"))["items"]
            seen.update({pod["metadata"]["name"]: pod for pod in items})

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def test_a_training_that_was_done_before_is_taken_from_the_cache(
    installed: Installed, cluster: TestNamespace
) -> None:
    with pods_seen(cluster) as seen:
        installed.project("--pipeline", "train", "--stack", STACK)
    again = installed.project.python(CACHED).split()
    print({"not cached": again, "pods": sorted(seen)})
    assert not {"load_data", "build_features", "split_data", "train_model", "evaluate_model"} & set(again)


@pytest.fixture(scope="module")
def api(installed: Installed, cluster: TestNamespace) -> tuple[str, str]:
    """Where the API in the cluster answers, and a key; version 1 is deployed, a version 2 registered."""
    project = installed.project
    own = f"stacks/{STACK}.yaml"  # as the images have it, or the monitor ends
    (project.folder / own).write_text((ROOT / own).read_text(encoding="utf-8"), encoding="utf-8")
    project("stack", "apply", STACK)
    params = (project.folder / "params.yaml").read_text(encoding="utf-8")
    (project.folder / "other.yaml").write_text(params.replace("\nseed: 7", "\nseed: 8", 1), encoding="utf-8")
    project("--pipeline", "train", "--params", "other.yaml", "--stack", STACK)
    project("--pipeline", "deploy", "--version", "1", "--stack", STACK)
    key = project("keys", "new").stdout.split("acc_")[1].split()[0]
    keys = (project.folder / ".serving" / "keys.json").read_text(encoding="utf-8")
    give_secret(cluster, "accidents-api-keys", {"keys.json": keys})
    file = f"--from-env-file={project.folder / '.env'}"
    cluster.admin("create", "secret", "generic", "accidents-stack", file)
    return install_api(cluster), f"acc_{key}"


def test_the_api_in_the_cluster_answers_with_the_version_that_is_deployed(api: tuple[str, str]) -> None:
    address, key = api
    accident = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))
    answer = httpx.post(f"{address}/predict", json=accident, headers={"X-API-Key": key}, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] | {"name": "", "stage": "", "synthetic": ""} == {
        "name": "", "version": "1", "role": "champion", "stage": "", "synthetic": "",
    }  # fmt: skip
    assert httpx.post(f"{address}/predict", json=accident, timeout=30).status_code == 401


def ask(api: tuple[str, str], accidents: int) -> dict[str, int]:
    """Ask for accidents with names of their own; how many each version answered."""
    address, key = api
    accident = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))
    answered: dict[str, int] = {}
    with httpx.Client(base_url=address, headers={"X-API-Key": key}, timeout=30) as client:
        for _ in range(accidents):
            answer = client.post("/predict", json={**accident, "accident_id": uuid.uuid4().hex})
            assert answer.status_code == 200, answer.text
            version = answer.json()["model"]["version"]
            answered[version] = answered.get(version, 0) + 1
    return answered


def wait_for_versions(api: tuple[str, str], wanted: set[str]) -> dict[str, int]:
    """Ask until these versions answer, and no others: routes reach the champion's pods in about a minute."""
    deadline = time.monotonic() + 180
    while set(answered := ask(api, 40)) != wanted:
        assert time.monotonic() < deadline, answered
        time.sleep(3)
    return ask(api, 200)


def test_a_canary_and_a_shadow_are_told_by_status_and_the_canary_answers_its_share(
    installed: Installed, api: tuple[str, str]
) -> None:
    project, on = installed.project, ("--stack", STACK)
    project("--pipeline", "deploy", "--version", "2", "--canary", "30", *on)
    said = project("status", *on).stdout
    assert "2 (30 %)" in said
    assert "version 2 (canary of 30 %)" in said
    answered = wait_for_versions(api, {"1", "2"})
    print(answered)
    assert 30 <= answered["2"] <= 95, answered
    project("--pipeline", "deploy", "--version", "2", "--shadow", *on)
    assert "2 (shadow)" in project("status", *on).stdout
    wait_for_versions(api, {"1"})
    project("rollback", *on)
    assert "On trial" not in project("status", *on).stdout


def test_a_canary_goes_up_while_nothing_is_wrong_and_no_further_where_something_is(
    installed: Installed, api: tuple[str, str]
) -> None:
    """With the latency that params.yaml allows, measured by way of the cluster's API from a pod."""
    project = installed.project
    for changed, shares, stays in (
        ({"monitor.probation.latency": 0.000001}, [20], False),
        ({}, [20, 60], True),
    ):
        said = project.python(f"CHANGED = {changed!r}\n{WALK}")
        print(said)
        assert re.findall(r"version 2 answers (\d+) % of the accidents", said) == [
            str(each) for each in shares
        ]
        assert f"stays={stays} " in said
        project("rollback", "--stack", STACK)


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


def test_the_monitors_job_looks_at_the_log_in_a_pod(
    installed: Installed, api: tuple[str, str], cluster: TestNamespace
) -> None:
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
    with opened_store(installed.predictions) as store:
        newest = store.history.reports("dispatch", 1)[0].measurements
        logged = store.log.count()
    assert newest.window.from_log
    assert newest.window.rows + newest.window.set_aside > 0, newest.window
    print({"looked at": newest.window.rows, "logged": logged, "champion": newest.champion.version})


def test_why_a_step_fails_is_told_with_what_to_do(installed: Installed, cluster: TestNamespace) -> None:
    """Memory, quota, a step's own error and an image, each in one sentence with its remedy."""
    project, on = installed.project, ("--stack", STACK)
    config = project.folder / "configs" / f"train.{STACK}.yaml"
    enough = config.read_text(encoding="utf-8")
    params = (project.folder / "params.yaml").read_text(encoding="utf-8")
    (project.folder / "third.yaml").write_text(params.replace("\nseed: 7", "\nseed: 9", 1), encoding="utf-8")
    train = ("--pipeline", "train", "--params", "third.yaml", *on)

    config.write_text(enough.replace("memory: 2GiB", "memory: 64MiB"), encoding="utf-8")
    with pods_seen(cluster) as seen:
        said = project(*train, check=False)
    assert said.returncode
    assert "was ended for its memory: raise its memory limit" in said.stderr
    limits = [pod["spec"]["containers"][0]["resources"].get("limits", {}) for pod in seen.values()]
    assert sum(each.get("memory") == "64Mi" for each in limits) == 2, (
        "tried once more: `retry` of configs/train.kubernetes-plain.yaml"
    )
    config.write_text(enough, encoding="utf-8")

    running = json.loads(cluster.admin("get", "pods", "--output", "json"))["items"]
    full = len([pod for pod in running if pod["status"]["phase"] in ("Running", "Pending")]) + 1
    cluster.admin("create", "quota", "full", f"--hard=pods={full}")
    said = project(*train, check=False)
    cluster.admin("delete", "quota", "full")
    assert said.returncode
    assert re.search(
        r"The cluster refuses the pods of job .*exceeded quota: full.*Raise the namespace's", said.stderr
    )

    give_secret(
        cluster, "accidents-database", {"url": installed.predictions.replace(DATABASE_PASSWORD, "wrong")}
    )
    said = project("--pipeline", "monitor", "--last", "100", "--decide-only", *on, check=False)
    give_secret(cluster, "accidents-database", {"url": installed.predictions})
    assert said.returncode
    assert re.search(
        r"Error: The prediction log .*password authentication failed.*Correct the user or password",
        said.stdout + said.stderr,
    )

    write_settings(project, {**installed.settings, "PIPELINES_IMAGE": "road-accidents/none:1"}, quote="")
    project("stack", "apply", STACK)
    said = project(*train, check=False)
    write_settings(project, installed.settings, quote="")
    project("stack", "apply", STACK)
    assert said.returncode
    assert "the image road-accidents/none:1 cannot be had" in said.stderr
    assert "Push it to a registry that the nodes reach" in said.stderr


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
