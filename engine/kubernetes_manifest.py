"""The DaskCluster of a run, as Dask's operator takes it: a scheduler and workers, locked down.

The pods are those of kubernetes/components/dask, whose network policies count for both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine.settings import KubernetesWorkers
from engine.worker_environment import MALLOC

API_VERSION, KIND = (
    "kubernetes.dask.org/v1",
    "DaskCluster",
)  # stacks/cluster/objects.py: where it is asked for
SCHEDULER_PORT, DASHBOARD_PORT = 8786, 8787
WORKER_PORT, NANNY_PORT = 8788, 8789
_USER = 10001  # of the image: Dockerfile
_PART_OF = {"app.kubernetes.io/part-of": "road-accidents"}
_LOCKED_DOWN = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
# Trap: the operator asks a scheduler over HTTP how long it has been idle, by a route that is off by default.
# Without it, it has the scheduler end itself after 300 s without work, whatever `idleTimeout` says.
_ROUTES = ["distributed.http.health", "distributed.http.statics"] + [
    f"distributed.http.scheduler.{name}" for name in ("prometheus", "info", "json", "api")
]
_HEALTH = {"httpGet": {"path": "/health", "port": "dashboard"}}


def cluster_manifest(
    name: str, workers: KubernetesWorkers, owner: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the object.

    Parameters
    ----------
    owner : a pod of the namespace: with it the cluster goes too, if nobody is left to end it.
    """
    metadata: dict[str, Any] = {"name": name, "labels": dict(_PART_OF)}
    if owner is not None:
        uid = {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", **uid}]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata,
        "spec": {
            "idleTimeout": workers.idle_timeout,
            "scheduler": {
                "metadata": {"labels": _labels("dask-scheduler", name)},
                "spec": _pod(_scheduler(workers), "1Gi", workers),
                "service": _service(name),
            },
            "worker": {
                "replicas": workers.workers,
                "metadata": {"labels": _labels("dask-worker", name)},
                "spec": _pod(_worker(name, workers), "10Gi", workers) | _spread(name),
            },
        },
    }


def _labels(role: str, name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": role, "app.kubernetes.io/instance": name, **_PART_OF}


def _pod(container: dict[str, Any], disk: str, workers: KubernetesWorkers) -> dict[str, Any]:
    """Return what runs in a pod: Pod Security `restricted`, no token of the cluster's."""
    pod: dict[str, Any] = {
        "serviceAccountName": workers.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "image": workers.image_here,
                "imagePullPolicy": workers.image_pull_policy,
                "securityContext": _LOCKED_DOWN,
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                "terminationMessagePolicy": "FallbackToLogsOnError",
                **container,
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": disk}}],
    }
    if workers.image_pull_secret:
        pod["imagePullSecrets"] = [{"name": workers.image_pull_secret}]
    if workers.node_selector:
        pod["nodeSelector"] = workers.node_selector
    if workers.tolerations:
        pod["tolerations"] = workers.tolerations
    return pod


def _scheduler(workers: KubernetesWorkers) -> dict[str, Any]:
    routes = {"name": "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES", "value": json.dumps(_ROUTES)}
    return {
        "name": "scheduler",
        "command": [
            "dask", "scheduler", "--port", str(SCHEDULER_PORT), "--dashboard-address", f":{DASHBOARD_PORT}",
        ],
        "env": [{"name": "PYTHONPATH", "value": "/app"}, routes],
        "ports": [_port("scheduler", SCHEDULER_PORT), _port("dashboard", DASHBOARD_PORT)],
        "startupProbe": {**_HEALTH, "periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": {"tcpSocket": {"port": "scheduler"}, "periodSeconds": 5},
        "livenessProbe": {**_HEALTH, "periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 6},
        "resources": {
            "requests": {"cpu": "250m", "memory": "512Mi"},
            "limits": {"cpu": "1", "memory": "2Gi"},
        },
    }  # fmt: skip


def _worker(name: str, workers: KubernetesWorkers) -> dict[str, Any]:
    from dask.utils import parse_bytes

    limit = (
        parse_bytes(f"{workers.memory}B") * 7 // 8
    )  # below the pod's, so that Dask notices first, and says so
    size = {"cpu": workers.cpu, "memory": workers.memory}
    container: dict[str, Any] = {
        "name": "worker",
        # The operator names a worker by its Deployment, and removes that of a worker which it has retired.
        "command": [
            "dask", "worker", f"tcp://{name}-scheduler:{SCHEDULER_PORT}", "--name=$(DASK_WORKER_NAME)",
            f"--nthreads={workers.threads}", f"--memory-limit={limit}", f"--worker-port={WORKER_PORT}",
            f"--nanny-port={NANNY_PORT}", "--no-dashboard", "--local-directory=/tmp",
        ],
        "env": [
            {"name": "PYTHONPATH", "value": "/app"},
            *({"name": setting, "value": str(size)} for setting, size in MALLOC.items()),
        ],
        "ports": [_port("worker", WORKER_PORT), _port("nanny", NANNY_PORT)],
        "resources": {"requests": size, "limits": size},
    }  # fmt: skip
    if workers.bucket_secret:
        container["envFrom"] = [{"secretRef": {"name": workers.bucket_secret}}]
    return container


def _spread(name: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "dask-worker", "app.kubernetes.io/instance": name}
    return {
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ]
    }


def _service(name: str) -> dict[str, Any]:
    ports = (("scheduler", "tcp-comm", SCHEDULER_PORT), ("dashboard", "http-dashboard", DASHBOARD_PORT))
    return {
        "type": "ClusterIP",
        "selector": {"dask.org/cluster-name": name, "dask.org/component": "scheduler"},
        # Names by which the operator looks for them.
        "ports": [
            {"name": name_of, "port": port, "targetPort": target, "protocol": "TCP"}
            for target, name_of, port in ports
        ],
    }


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "containerPort": number, "protocol": "TCP"}
