"""The pod of a model server: an init container brings the bundle and checks it, then MLServer serves it."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from stacks.components.seldon_core.description import (
    GRPC_PORT,
    HTTP_PORT,
    METRICS_PORT,
    ROUTES,
    Served,
    ServedBundle,
)
from stacks.components.seldon_core.labels import labels_of, selector_of
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.components.trials import CHAMPION

MODELS, ROUTES_FOLDER = "/models", "/routes"
BROUGHT = "/mnt/models"  # where a platform's storage initializer puts the bundle
SETTINGS = "accidents/settings"  # annotation: tells a pod from one that had others
_USER = 10001  # of the images: serving/Dockerfile
_LET_OTHERS_KNOW = 5  # seconds: kube-proxy and callers take a moment to ask elsewhere
_LOCKED_DOWN = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
_FETCH_MEMORY = "512Mi"


def pod_template(served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> dict[str, Any]:
    """Return the template of a version's pods; another bundle makes another template, and so new pods."""
    return {"metadata": pod_metadata(served, bundle, settings), "spec": pod_spec(served, bundle, settings)}


def pod_metadata(served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> dict[str, Any]:
    """Return labels, and what a person, or who has lost the record, wants to know of a pod."""
    spec = json.dumps(pod_spec(served, bundle, settings), sort_keys=True)
    return {
        "labels": {**settings.pod_labels, **labels_of(served, bundle)},
        "annotations": {
            "accidents/version": bundle.version,
            "accidents/digest": bundle.digest,
            "accidents/uri": bundle.uri,
            SETTINGS: hashlib.sha256(spec.encode()).hexdigest()[:16],
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(METRICS_PORT),
        },
    }


def pod_spec(served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> dict[str, Any]:
    """Return what runs in the pod: Pod Security `restricted`, no token of the cluster's."""
    spec: dict[str, Any] = {
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.grace,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector_of(served, bundle)},
            }
        ],
        "initContainers": [_fetching(served, bundle, settings)],
        "containers": [_serving(served, bundle, settings)],
        "volumes": _volumes(served, bundle),
    }
    if settings.image_pull_secret:
        spec["imagePullSecrets"] = [{"name": settings.image_pull_secret}]
    if settings.node_selector:
        spec["nodeSelector"] = settings.node_selector
    if settings.tolerations:
        spec["tolerations"] = settings.tolerations
    return spec


def is_fetched_by_us(settings: SeldonCoreSettings) -> bool:
    """Whether our init container has the bundle fetched, and not that of Seldon Core or KServe."""
    return settings.storage_initializer == "ours"


def _fetching(served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> dict[str, Any]:
    arguments = {
        "--model": served.model(bundle),
        "--version": bundle.version,
        "--digest": bundle.digest,
        "--routes": f"{ROUTES_FOLDER}/{ROUTES}" if bundle.role == CHAMPION else "",
        "--brought": "" if is_fetched_by_us(settings) else BROUGHT,
    }
    given = [word for name, value in arguments.items() if value for word in (name, value)]
    container: dict[str, Any] = {
        "name": "fetch-bundle",
        "image": settings.fetch_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["python", "-m", "stacks.fetch_bundle", bundle.uri, MODELS, *given],
        "securityContext": _LOCKED_DOWN,
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "1", "memory": _FETCH_MEMORY},
        },
        "volumeMounts": [_mount("models", MODELS), _mount("fetch-tmp", "/tmp")],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if settings.bucket_secret and is_fetched_by_us(settings):
        container["envFrom"] = [{"secretRef": {"name": settings.bucket_secret}}]
    return container


def _serving(served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> dict[str, Any]:
    model = served.model(bundle)
    ready = {"httpGet": _get(f"/v2/models/{model}/ready"), "timeoutSeconds": 3}
    return {
        "name": model,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["python", "-m", "serving.runtime.guarded_mlserver", MODELS],
        "env": _environment(served, bundle),
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        # The model is asked, and not the server: that one is ready with no model loaded.
        "startupProbe": {
            **ready,
            "periodSeconds": 2,
            "failureThreshold": math.ceil(settings.ready_timeout / 2),
        },
        "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {
            "httpGet": _get("/v2/health/live"),
            "periodSeconds": 10,
            "failureThreshold": 3,
            "timeoutSeconds": 5,
        },
        "lifecycle": {
            "preStop": {"exec": {"command": ["python", "-c", f"import time; time.sleep({_LET_OTHERS_KNOW})"]}}
        },
        "resources": {
            "requests": {"cpu": settings.cpu, "memory": settings.memory},
            "limits": {"cpu": settings.cpu_limit, "memory": settings.memory_limit},
        },
        "securityContext": _LOCKED_DOWN,
        "volumeMounts": [
            _mount("models", MODELS, read_only=True),
            _mount("tmp", "/tmp"),
            *([_mount("routes", ROUTES_FOLDER, read_only=True)] if bundle.role == CHAMPION else ()),
        ],
    }


def _environment(served: Served, bundle: ServedBundle) -> list[dict[str, Any]]:
    """Return under which names server and model may be asked (serving/runtime/guarded_mlserver.py).

    The server under any: golden rows come by way of the cluster's API server, under whatever name that was
    asked. A model beside the champion under the champion's, too: a mesh leads some of its callers there. No
    port of MLServer's is here: Seldon's operator sets those itself, by the container's ports, and leaves out
    of `env` whatever stands before a name that it sets.
    """
    model, environment = served.model(bundle), [{"name": "MODEL_SERVER_HOSTS", "value": "*"}]
    if model != served.name:
        environment.append({"name": "MODEL_SERVER_ALIAS", "value": f"{served.name}={model}"})
    return environment


def _get(path: str) -> dict[str, Any]:
    return {"path": path, "port": HTTP_PORT, "httpHeaders": [{"name": "Host", "value": "localhost"}]}


def _mount(name: str, path: str, read_only: bool = False) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": name, "mountPath": path}
    return {**mount, "readOnly": True} if read_only else mount


def _volumes(served: Served, bundle: ServedBundle) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "models", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
        {"name": "fetch-tmp", "emptyDir": {"sizeLimit": "1Gi"}},
    ]
    if bundle.role == CHAMPION:  # there may be none yet; it follows changes within a minute or so
        volumes.append({"name": "routes", "configMap": {"name": served.name, "optional": True}})
    return volumes
