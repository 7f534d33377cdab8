"""A Dask cluster in Kubernetes for one run: a DaskCluster, which Dask's operator makes pods of, and its end.

Not by dask_kubernetes' `KubeCluster`: that waits without end for a scheduler whose pod cannot start, and
brings the whole operator into the environment of steps and workers.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from engine.errors import ClusterError
from engine.kubernetes_manifest import KIND, SCHEDULER_PORT, cluster_manifest
from engine.settings import KubernetesWorkers
from stacks.cluster.namespace import Namespace, find_namespace, is_pod
from stacks.cluster.objects import Manifest
from stacks.cluster.pod_troubles import Trouble, has_ended, is_ending, is_ready, trouble_of
from stacks.cluster.port_forward import PortForward
from stacks.errors import StackError

if TYPE_CHECKING:
    from distributed import Client

_EVERY = 1.0  # seconds between two looks
_OPERATOR_SECONDS = 60.0  # in which an operator that runs has begun with a cluster
_SETTLED = 15.0  # seconds that workers may be in trouble before the run begins with those that are there
RIGHTS: dict[str, tuple[str, ...]] = {
    "DaskCluster": ("create", "get", "list", "delete"),
    "Pod": ("get", "list"),
    "Pod/log": ("get",),
    "Event": ("list",),
    "ConfigMap": ("get",),  # whether there is such a namespace
}
FORWARD_RIGHTS: dict[str, tuple[str, ...]] = {"Pod/portforward": ("get", "create")}  # from outside


def can_start(workers: KubernetesWorkers) -> str:
    """Return what was reached; nothing is started. Raises ClusterError with what is missing."""
    with _told():
        namespace = _namespace_of(workers)
        rights, others = (
            (RIGHTS, "") if is_pod() else (RIGHTS | FORWARD_RIGHTS, "pods/portforward: docs/scaling.md")
        )
        reached = namespace.require_rights(rights, others)
        namespace.require_kind(KIND)
    return f"{reached}; it knows {KIND}. A run starts {workers.workers} workers of {workers.image_here}"


class KubernetesCluster:
    """Started once, and ended by `close`."""

    def __init__(self, workers: KubernetesWorkers) -> None:
        self._workers = workers
        self.name = f"accidents-{uuid4().hex[:8]}"
        with _told():
            self._namespace = _namespace_of(workers)
        self._forward: PortForward | None = None
        self._made = False
        self._said = ""

    def start(self) -> str:
        """Have the operator start it; return the scheduler's address once that is there.

        Raises ClusterError with what keeps it from starting.
        """
        with _told():
            owner = self._namespace.read("Pod", socket.gethostname()) if is_pod() else None
            try:
                self._namespace.create(cluster_manifest(self.name, self._workers, owner))
            except BaseException:
                with suppress(StackError):  # it may have been made before the connection broke
                    self._namespace.delete(KIND, self.name)
                raise
            self._made = True
            self._say(f"starts in namespace {self._namespace.name}")
            self._wait("scheduler", lambda: len(self._ready("scheduler")), 1)
        if is_pod():
            return f"tcp://{self.name}-scheduler.{self._namespace.name}:{SCHEDULER_PORT}"
        self._forward = PortForward(self._scheduler)
        with _told():
            self._scheduler().close()  # a `Client` would only say that nobody answers
        return f"tcp://127.0.0.1:{self._forward.port}"

    def wait_for_workers(self, client: Client) -> None:
        """Wait for all workers, or for one, where something keeps the others from coming.

        Raises ClusterError with the reason if there is none in time.
        """

        def there() -> int:
            return len(client.scheduler_info(n_workers=-1)["workers"])

        with _told():
            self._wait("worker", there, self._workers.workers)

    def close(self, timeout: float = 10) -> None:
        """Have it removed, with its pods; say what to do if that cannot be."""
        if self._forward is not None:
            self._forward.close()
            self._forward = None
        if not self._made:
            return
        try:
            self._namespace.delete(KIND, self.name)
            deadline = time.monotonic() + timeout
            while self._namespace.read(KIND, self.name) is not None:
                if time.monotonic() > deadline:
                    self._say("is being removed; Dask's operator has not let go of it yet")
                    break
                time.sleep(min(_EVERY, timeout / 10))
        except StackError as error:
            by_hand = f"kubectl --namespace {self._namespace.name} delete daskcluster {self.name}"
            self._say(f"is not removed ({error}) Do so: {by_hand}")
        self._made = False

    def _wait(self, component: str, there: Callable[[], int], wanted: int) -> None:
        """Wait until `wanted` are there; raise ClusterError if nothing of it comes in time."""
        begun, troubled = time.monotonic(), None
        while (count := there()) < wanted:
            waited = time.monotonic() - begun
            trouble = self._trouble(component, wanted) if self._require_operator(waited) else None
            troubled = None if trouble is None else troubled or time.monotonic()
            if trouble is not None:
                self._say(trouble.words)
            late = waited > self._workers.ready_timeout
            if count and (late or (troubled is not None and time.monotonic() - troubled > _SETTLED)):
                self._say(f"begins with {count} of {wanted} workers; others that come help")
                return
            if not count and (late or (trouble is not None and trouble.hopeless)):
                reason = trouble.words if trouble else f"no pod says why, after {waited:.0f} s"
                raise ClusterError(f"Dask's {component} does not start in Kubernetes: {reason}")
            time.sleep(_EVERY)

    def _require_operator(self, waited: float) -> bool:
        """Tell whether the operator has begun; raise ClusterError if none does, or the object is gone."""
        live = self._namespace.read(KIND, self.name)
        if live is None:
            raise ClusterError(f"DaskCluster {self.name} was removed by somebody while it started.")
        begun = bool(live.get("status", {}).get("phase"))
        if not begun and waited > min(_OPERATOR_SECONDS, self._workers.ready_timeout):
            raise ClusterError(
                f"Nobody takes care of DaskCluster {self.name}: Dask's operator does not run, or does not "
                f"look at namespace {self._namespace.name} (kubectl get pods --all-namespaces --selector "
                "app.kubernetes.io/name=dask-kubernetes-operator)."
            )
        return begun

    def _trouble(self, component: str, wanted: int) -> Trouble | None:
        """Return what keeps pods from running; it is hopeless if it is so for each."""
        every = self._pods(component)
        pods = [pod for pod in every if not has_ended(pod)] or every  # an evicted one has a successor
        trouble = trouble_of(pods)
        if trouble is None:
            return self._refusal(component, every) if len(pods) < wanted else None
        about = [pod for pod in pods if pod["metadata"]["name"] == trouble.name]
        troubles = [trouble_of([pod]) for pod in pods]
        return trouble._replace(
            words=f"{trouble.words}{self._namespace.last_words(about)}",
            hopeless=all(its is not None and its.hopeless for its in troubles),
        )

    def _refusal(self, component: str, pods: Sequence[Manifest]) -> Trouble | None:
        """Return why a pod is not even made, such as a quota: events tell, which stay for an hour."""
        made = [pod["metadata"]["name"] for pod in pods]
        for name, refusal in self._namespace.refusals().items():
            ours = name.startswith(self.name) and f"-{component}-" in name
            if ours and not any(pod.startswith(f"{name}-") for pod in made):
                return Trouble(f"The cluster refuses a pod of {name}: {refusal.words}", False, name)
        return None

    def _scheduler(self) -> socket.socket:
        """Return a connection to the scheduler's pod, which may be another than before."""
        pods = [pod for pod in self._pods("scheduler") if not is_ending(pod) and not has_ended(pod)]
        if not pods:
            raise StackError(f"The scheduler of {self.name} is not there.")
        return self._namespace.connection(pods[0]["metadata"]["name"], SCHEDULER_PORT)

    def _ready(self, component: str) -> Sequence[Manifest]:
        return [pod for pod in self._pods(component) if is_ready(pod)]

    def _pods(self, component: str) -> Sequence[Manifest]:
        labels = {"dask.org/cluster-name": self.name, "dask.org/component": component}
        return self._namespace.list("Pod", labels)

    def _say(self, words: str) -> None:
        if words != self._said:
            self._said = words
            print(f"  Dask cluster {self.name}: {words}", file=sys.stderr, flush=True)


def _namespace_of(workers: KubernetesWorkers) -> Namespace:
    return find_namespace(workers.namespace, workers.context)


@contextmanager
def _told() -> Iterator[None]:
    """Have what is wrong with Kubernetes be an error of the engine's."""
    try:
        yield
    except StackError as error:
        raise ClusterError(str(error)) from error
