"""What the cluster's API answers, in words: what, and what to do."""

from __future__ import annotations

import json
import re
from typing import Any

from stacks.errors import StackError

_OTHER_RUNTIME = "or set `runtime` of the model deployer to what it has: deployment needs nothing"
_INSTALLED_BY = {
    "SeldonDeployment": f"Install Seldon Core v1 in it, {_OTHER_RUNTIME}",
    "Model": f"Install Seldon Core 2 in it, {_OTHER_RUNTIME}",
    "Experiment": f"Install Seldon Core 2 in it, {_OTHER_RUNTIME}",
    "InferenceService": f"Install KServe in it, {_OTHER_RUNTIME}",
    "DaskCluster": "Install Dask's operator in it (Helm chart dask-kubernetes-operator), or name a cluster "
    "that runs already in `dask.scheduler`",
}
_NAMESPACE = re.compile(r'namespaces "([^"]+)" not found')
_ENDING = re.compile(r"in namespace (\S+) because it is being terminated")
_NO_RIGHT = re.compile(r"cannot \w+ resource")
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request:? ?(.*)', re.DOTALL)
_UNCALLED = re.compile(r'failed calling webhook "([^"]+)"')


class ClusterError(StackError):
    """The cluster cannot be asked, or refuses."""


class ConflictError(ClusterError):
    """There is one of this name, or it is another one by now."""


class GoneError(ClusterError):
    """A list that was read in parts has changed too much: it is read anew."""


def in_words(status: int, body: str, what: str, kind: str = "") -> ClusterError:
    """Return the error for an answer of the API's.

    Parameters
    ----------
    what : was asked, such as "apply Deployment x".
    kind : of the object that it is about.
    """
    message = _message(body)
    namespace, webhook, uncalled = (pattern.search(message) for pattern in (_NAMESPACE, _WEBHOOK, _UNCALLED))
    if status == 410:
        return GoneError(f"The cluster could not {what}: {message}")
    if namespace:
        words = f"there is no namespace {namespace[1]}. Create it: kubectl create namespace {namespace[1]}"
    elif uncalled:
        words = f"its webhook {uncalled[1]} does not answer. See to its pods, and run the command again"
    elif webhook:
        words = f"its webhook {webhook[1]} refuses it: {webhook[2]}"
    elif status == 401:
        words = "it does not know this login, or its token has expired. Log in again (kubectl get pods)"
    elif ending := _ENDING.search(message):
        words = (
            f"namespace {ending[1]} is being deleted. Wait until it is gone, and create it: "
            f"kubectl create namespace {ending[1]}"
        )
    elif status == 403 and "exceeded quota" in message:
        words = f"the namespace's quota does not allow it: {message}. Raise it, or ask for less"
    elif status == 403 and _NO_RIGHT.search(message):
        words = f"{message}. Have these rights granted (kubernetes/base/rbac.yaml has them)"
    elif status == 403:
        words = f"a rule of the cluster forbids it: {message}"
    elif status == 404 and kind in _INSTALLED_BY:
        words = f"it does not know {kind}. {_INSTALLED_BY[kind]}"
    elif status == 409:
        words = f"somebody else changes the same object: {message.rstrip('.')}. Run the command again"
        return ConflictError(f"The cluster could not {what}: {words}.")
    elif status == 429:
        words = "it is asked too often. Run the command again in a minute"
    elif status >= 500:
        words = f"it fails: {message}. Run the command again when it is well"
    else:
        words = message
    return ClusterError(f"The cluster could not {what}: {words.rstrip('.')}.")


def unreachable(error: BaseException, what: str) -> ClusterError:
    """Return the error for an API that does not answer."""
    reason = str(getattr(error, "reason", None) or error)
    return ClusterError(
        f"The cluster could not be asked to {what}: it does not answer ({reason.splitlines()[0][:200]}). "
        "Is it up, and the context of the kubeconfig the right one? `kubectl get pods` must work."
    )


def _message(body: str) -> str:
    try:
        content: Any = json.loads(body)
    except ValueError:
        return body.strip()[:500] or "no reason is given"
    message = content.get("message") if isinstance(content, dict) else None
    return str(message or body)[:800]
