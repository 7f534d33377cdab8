r"""What callers of the API in a cluster notice while things happen to it: restarts, versions, drains, deaths.

    KUBECONFIG=... CLUSTER_API=http://NODE:PORT CLUSTER_KEY=acc_... ACCIDENTS_DATABASE_URL=... \
        python -m benchmarks kubernetes

On an installation of kubernetes/ (docs/kubernetes.md) that serves version 1 of the model by the stack
CLUSTER_STACK (kubernetes-plain, or kubernetes) in CLUSTER_NAMESPACE (accidents), with a version 2 beside it
in the registry. Two pods of the API at least: overlays dev and kind have one, and who evicts that has none.
Who drains a node has more rights than the pipelines: CLUSTER_ADMIN is their kubeconfig, else KUBECONFIG.
Version 1 serves again at the end. Never on an installation that people use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from accidents.errors import AccidentsError
from accidents.files import ROOT
from accidents.predictions.store import opened_store
from benchmarks.options import Options, SkippedError
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.steady_load import Met, steady_load
from stacks.definition import read_stack
from stacks.errors import StackError
from stacks.placeholders import fill

TITLE = "On Kubernetes, under load"
CLIENTS = 8
SETTLE_SECONDS = 10  # of load before something happens, and after it
CANARY_SECONDS = 30  # in which a canary answers: the command returns once the API is led to it
SCALE_SECONDS = 600
GENTLE_SECONDS = 0.5  # between requests while there is to be little to do
API, MOST_REPLICAS = "accidents-api", 3
MODEL = "accident-severity-dispatch"
_RUNTIMES = ("deployment", "seldon")
_NEEDED = ("KUBECONFIG", "CLUSTER_API", "CLUSTER_KEY", "ACCIDENTS_DATABASE_URL")


@dataclass(frozen=True)
class Cluster:
    """An installation: its namespace, and the stack by which its model is deployed."""

    api: str
    key: str
    database: str
    namespace: str
    stack: str
    refused: list[str] = field(default_factory=list)  # evictions, by the budget
    kept: list[str] = field(default_factory=list)  # pods that a restart has left as they were

    def kubectl(self, *words: str, give: str | None = None) -> str:
        """Return what kubectl prints. Raises AccidentsError if it fails."""
        program = Path(sys.executable).with_name("kubectl")
        config = os.environ.get("CLUSTER_ADMIN", os.environ["KUBECONFIG"])
        return _run([str(program), f"--kubeconfig={config}", "--namespace", self.namespace, *words], give)

    def run(self, *words: str) -> str:
        """`python run.py WORDS --stack STACK`. Raises AccidentsError if it fails."""
        return _run([sys.executable, "run.py", *words, "--stack", self.stack])

    def pods(self, selector: str) -> list[str]:
        """Return the names of pods that are not ending."""
        pods = json.loads(self.kubectl("get", "pods", "--selector", selector, "--output", "json"))["items"]
        return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def wait_ready(self) -> None:
        """Return when every pod of API and model is ready."""
        for name in (API, *self.deployments(MODEL_PODS)):
            self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=300s")

    def deployments(self, selector: str) -> list[str]:
        """Return the Deployments of some pods, whoever made them: Seldon's operator names them itself."""
        found = json.loads(self.kubectl("get", "pods", "--selector", selector, "--output", "json"))["items"]
        made = ((pod["metadata"]["ownerReferences"][0]["name"], pod["metadata"]["labels"]) for pod in found)
        return sorted({name.removesuffix(f"-{labels['pod-template-hash']}") for name, labels in made})

    def kill(self, selector: str) -> None:
        """End a pod at once, as a lost node does."""
        self.kubectl("delete", "pod", self.pods(selector)[0], "--grace-period=0", "--force")
        self.wait_ready()

    def drain(self) -> None:
        """Evict every pod of API and model, as `kubectl drain` does: what the budget keeps is asked again."""
        for selector in (API_PODS, MODEL_PODS):
            for pod in self.pods(selector):
                self._evict(pod)
            self.wait_ready()

    def restart(self, selector: str) -> None:
        """Make every pod anew, one after another; remember those that are still there."""
        before = self.pods(selector)
        deployments = self.deployments(selector)
        if any(self._has_operator(name) for name in deployments):
            self._delete_one_by_one(before)
        else:
            for name in deployments:
                self.kubectl("rollout", "restart", f"deployment/{name}")
            self.wait_ready()
        self.kept.extend(set(before).intersection(self.pods(selector)))

    def _has_operator(self, deployment: str) -> bool:
        """Tell whether an operator, such as Seldon's, has made it: it undoes what others change in it."""
        owners = "jsonpath={.metadata.ownerReferences[*].kind}"
        return bool(self.kubectl("get", f"deployment/{deployment}", "--output", owners).strip())

    def _delete_one_by_one(self, pods: Iterable[str]) -> None:
        for pod in pods:
            self.kubectl("delete", "pod", pod, "--ignore-not-found")
            self.wait_ready()

    def canary(self) -> None:
        """Have version 2 answer half of the accidents for a while, then none."""
        self.run("--pipeline", "deploy", "--version", "2", "--canary", "50")
        time.sleep(CANARY_SECONDS)
        self.run("rollback")

    def replicas(self) -> int:
        """Return how many pods of the API are ready."""
        ready = self.kubectl("get", f"deployment/{API}", "--output", "jsonpath={.status.readyReplicas}")
        return int(ready or 0)

    @contextmanager
    def autoscaled(self, fewest: int, calm: int) -> Iterator[None]:
        """Have so many pods of the API or more, and fewer after so many calm seconds; then as before."""
        before = json.loads(self.kubectl("get", f"hpa/{API}", "--output", "json"))["spec"]
        self._set_autoscaler(fewest, {"scaleDown": {"stabilizationWindowSeconds": calm}})
        try:
            yield
        finally:
            self._set_autoscaler(before["minReplicas"], before.get("behavior"))

    def _set_autoscaler(self, fewest: int, behavior: Mapping[str, Any] | None) -> None:
        spec = {"spec": {"minReplicas": fewest, "behavior": behavior}}
        self.kubectl("patch", f"hpa/{API}", "--patch", json.dumps(spec))

    def _evict(self, pod: str) -> None:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        deadline = time.monotonic() + 300
        while True:
            try:
                self.kubectl("create", "--raw", path, "--filename", "-", give=json.dumps(body))
                return
            except AccidentsError as error:
                if "disruption budget" not in str(error) or time.monotonic() > deadline:
                    raise
                self.refused.append(pod)
                time.sleep(2)


API_PODS = "app.kubernetes.io/name=api"
MODEL_PODS = f"app.kubernetes.io/instance={MODEL},accidents/role=champion"
CANARY, SECOND, FIRST = "a canary of 50 %, and back", "version 2 in place of 1", "version 1 in place of 2"
DRAIN = "every pod is evicted (drain)"
API_RESTARTS, MODEL_RESTARTS = "the API restarts, pod by pod", "the model server restarts"


def run(options: Options) -> Outcome:
    """Everything once, one after another; the autoscaler last."""
    cluster = _cluster()
    accident = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))
    deployed = _seconds(lambda: cluster.run("--pipeline", "deploy", "--version", "1"))
    cluster.wait_ready()
    happenings: dict[str, Callable[[], Any]] = {
        "nothing": lambda: time.sleep(SETTLE_SECONDS),
        API_RESTARTS: partial(cluster.restart, API_PODS),
        MODEL_RESTARTS: partial(cluster.restart, MODEL_PODS),
        SECOND: partial(cluster.run, "--pipeline", "deploy", "--version", "2"),
        FIRST: partial(cluster.run, "--pipeline", "deploy", "--version", "1"),
        CANARY: cluster.canary,
        DRAIN: cluster.drain,
        "a model server is killed": partial(cluster.kill, MODEL_PODS),
        "a pod of the API is killed": partial(cluster.kill, API_PODS),
    }
    if options.quick:
        happenings = {name: happenings[name] for name in ("nothing", "a pod of the API is killed")}
    met: dict[str, Met] = {}
    for name, happens in happenings.items():
        met[name] = _under_load(cluster, accident, happens)
        print(f"  {name}: {', '.join(_cells(met[name]))}", file=sys.stderr, flush=True)
    scaled: dict[str, float] = {}
    if not options.quick:
        while_scaling, scaled = _scaled(cluster, accident)
        met |= {f"pods of the API, {how}": each for how, each in while_scaling.items()}
    return _outcome(met, _missing(cluster, met), deployed, scaled, cluster)


def _cluster() -> Cluster:
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if missing:
        raise SkippedError(f"it needs a cluster: {', '.join(missing)} not set (docs/kubernetes.md)")
    stack = os.environ.get("CLUSTER_STACK", "kubernetes-plain")
    _require_runtime(stack)
    return Cluster(
        os.environ["CLUSTER_API"].rstrip("/"),
        os.environ["CLUSTER_KEY"],
        os.environ["ACCIDENTS_DATABASE_URL"],
        os.environ.get("CLUSTER_NAMESPACE", "accidents"),
        stack,
    )


def _require_runtime(stack: str) -> None:
    """Raise AccidentsError for a stack that serves by no Deployments, whose pods are restarted and ended."""
    try:
        deployer = read_stack(stack).components.get("model_deployer")
        runtime = fill(deployer.config.get("runtime", ""), f"Stack {stack}") if deployer else ""
    except StackError as error:
        raise AccidentsError(f"CLUSTER_STACK: {error}") from error
    if runtime not in _RUNTIMES:
        raise AccidentsError(
            f"CLUSTER_STACK {stack} has no model deployer with runtime {' or '.join(_RUNTIMES)}, whose pods "
            "are restarted and waited for here: name one that has, such as kubernetes-plain."
        )


def _run(words: list[str], give: str | None = None) -> str:
    done = subprocess.run(words, cwd=ROOT, input=give, capture_output=True, text=True)
    if done.returncode:
        raise AccidentsError(f"{' '.join(words[1:])} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _under_load(cluster: Cluster, accident: Mapping[str, Any], happens: Callable[[], Any]) -> Met:
    with steady_load(f"{cluster.api}/predict?reasons=false", cluster.key, accident, CLIENTS) as met:
        time.sleep(SETTLE_SECONDS)
        happens()
        time.sleep(SETTLE_SECONDS)
    return met


def _scaled(cluster: Cluster, accident: Mapping[str, Any]) -> tuple[dict[str, Met], dict[str, float]]:
    """Have the autoscaler start as many pods as it may, and end them: what is met meanwhile, and seconds."""
    met: dict[str, Met] = {}
    reached: dict[str, float] = {}
    asked = f"{cluster.api}/predict?reasons=true", cluster.key, accident
    up, down = f"1 to {MOST_REPLICAS}", f"{MOST_REPLICAS} to 1"
    with cluster.autoscaled(1, 60):
        if (begun := _wait_for(cluster, 1)) == float("inf"):  # from more pods no growth can be measured
            return met, {"to 1 before they grow": begun}
        with steady_load(*asked, 4 * CLIENTS) as met[up]:
            reached[up] = _wait_for(cluster, MOST_REPLICAS)
        with steady_load(*asked, 1, GENTLE_SECONDS) as met[down]:
            reached[down] = _wait_for(cluster, 1)
            time.sleep(SETTLE_SECONDS)  # pods that are not ready any more may have requests yet
    return met, reached


def _wait_for(cluster: Cluster, replicas: int) -> float:
    started = time.perf_counter()
    while cluster.replicas() != replicas:
        if time.perf_counter() - started > SCALE_SECONDS:
            return float("inf")
        time.sleep(2)
    return time.perf_counter() - started


def _missing(cluster: Cluster, met: Mapping[str, Met]) -> int:
    """Count answers that are not in the log with the version that gave them."""
    answered = {request: version for each in met.values() for request, version in each.answered.items()}
    with opened_store(cluster.database) as store:
        logged = {row["request_id"]: row["model_version"] for row in store.log.read()}
    return sum(logged.get(request) != version for request, version in answered.items())


def _outcome(
    met: Mapping[str, Met], missing: int, deployed: float, scaled: Mapping[str, float], cluster: Cluster
) -> Outcome:
    answers = sum(len(each.answered) for each in met.values())
    failed = sum(sum(each.failed.values()) for each in met.values())
    figures = [
        Figure(what="Requests that failed", target="0", figure=str(failed), met=failed == 0),
        Figure(
            what=f"Of {answers:,} answers not in the log with their version",
            target="0",
            figure=str(missing),
            met=missing == 0,
        ),
        *(
            Figure(
                what=f"Answers of both versions: {name}",
                target="some of each",
                figure=f"{both[0]:,} and {both[1]:,}",
                met=min(both) > 0,
            )
            for name, both in _of_both(met).items()
        ),
        *(
            Figure(
                what="Pods that a restart left as they were", target="0", figure=str(count), met=count == 0
            )
            for count in [len(cluster.kept)]
            if {API_RESTARTS, MODEL_RESTARTS} & met.keys()
        ),
        *(
            Figure(what="Evictions that a budget refused", target="some", figure=str(count), met=count > 0)
            for count in [len(cluster.refused)]
            if DRAIN in met
        ),
        *(
            Figure(
                what=f"Pods of the API, {how}",
                target=f"within {SCALE_SECONDS} s",
                figure=f"{seconds:.0f} s" if seconds < SCALE_SECONDS else "not reached",
                met=seconds < SCALE_SECONDS,
            )
            for how, seconds in scaled.items()
        ),
        Figure(what="From `--pipeline deploy` to ready", target="", figure=f"{deployed:.0f} s"),
    ]
    rows = [(name, *_cells(each)) for name, each in met.items()]
    about = (
        f"{CLIENTS} clients ask the API for one accident at a time, each when the last was answered, from "
        f"{SETTLE_SECONDS} s before something happens to {SETTLE_SECONDS} s after it; for more pods "
        f"{4 * CLIENTS} of them, for fewer one, every {GENTLE_SECONDS:g} s. After a refused or broken "
        "connection they send again; anything else but an answer has failed."
    )
    head = ("what happens", "answers", "by version", "sent again", "failed", "p50 ms", "p99 ms", "worst ms")
    return Outcome(about=about, figures=tuple(figures), body=table(head, rows))


def _of_both(met: Mapping[str, Met]) -> dict[str, tuple[int, int]]:
    """Return how many each version answered where both are to: else nobody was led to the other one."""
    counted = {name: Counter(met[name].answered.values()) for name in (SECOND, FIRST, CANARY) if name in met}
    return {name: (each["1"], each["2"]) for name, each in counted.items()}


def _cells(met: Met) -> tuple[str, ...]:
    counted = dict.fromkeys(sorted(set(met.answered.values())), 0)
    for version in met.answered.values():
        counted[version] += 1
    times = sorted(met.milliseconds)
    return (
        f"{len(met.answered):,}",
        ", ".join(f"{version}: {count:,}" for version, count in counted.items()),
        str(met.retried),
        ", ".join(f"{count} x {why}" for why, count in met.failed.items()) or "0",
        *(f"{np.quantile(times, share):.0f}" if times else "none" for share in (0.5, 0.99, 1)),
    )
