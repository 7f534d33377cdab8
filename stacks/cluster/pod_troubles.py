"""Why pods do not run, in a sentence with what to do: image, quota, memory, eviction, crash, no node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

Pod = dict[str, Any]
_IMAGES = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError")
_CONFIGURATION = ("CreateContainerConfigError", "CreateContainerError")
_NOT_YET = (
    "failed to sync"  # ... secret cache: a kubelet that is busy tries again, whether there is one or not
)
_CRASH_REMEDY = "Mend what it says last, and run the command again."
_CRASHED, _TRIES = "CrashLoopBackOff", 2  # an init container waits for its next try without that name
# What to do about a refusal with these words in it: the API tells it a controller, which makes the pods.
_REMEDIES = {
    "exceeded quota": "Raise the namespace's ResourceQuota, have less run, or ask for less cpu and memory.",
    "failed quota": "Have each container ask for what the namespace's ResourceQuota counts.",
    "PodSecurity": "Have the pod be as the namespace's Pod Security wants it, or lower that level.",
    "per Container is": "Ask for what the namespace's LimitRange allows, or change that.",
    "serviceaccount": "Create the service account (kubernetes/base/service_accounts.yaml), or name another.",
    "denied the request": "Have the pod be as that rule of the cluster wants it.",
}


class Trouble(NamedTuple):
    """What is wrong with a pod, or with a job that gets none; whether waiting may help; its name."""

    words: str
    hopeless: bool
    name: str


def trouble_of(pods: Iterable[Pod]) -> Trouble | None:
    """Return what is wrong with the worst of some pods; None if they run, or are on their way."""
    troubles = [trouble for pod in pods for trouble in _troubles(pod)]
    return next(iter(sorted(troubles, key=lambda trouble: not trouble.hopeless)), None)


def in_words(refusal: str) -> str:
    """Return why a controller was refused a pod, as an event or a condition has it, with what to do."""
    remedy = next((words for part, words in _REMEDIES.items() if part in refusal), "")
    return f"{refusal.rstrip('. ')}.{remedy and f' {remedy}'}"


def is_ending(pod: Pod) -> bool:
    """Whether a pod has been told to end."""
    return "deletionTimestamp" in pod["metadata"]


def has_ended(pod: Pod) -> bool:
    """Whether a pod has ended for good: an evicted one stays listed, and another takes its place."""
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def is_ready(pod: Pod) -> bool:
    """Whether a pod takes requests."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def failed_container(pod: Pod) -> str | None:
    """Return the name of the container that has failed, whose log says why."""
    for container in _containers(pod):
        for state in (container.get("state", {}), container.get("lastState", {})):
            if state.get("terminated", {}).get("exitCode"):
                return str(container["name"])
    return None


def _troubles(pod: Pod) -> Iterator[Trouble]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    if is_ending(pod):
        return
    if status.get("reason") == "Evicted":
        yield Trouble(
            f"Pod {name} was evicted: {status.get('message', 'its node is short of something')} "
            "Ask for as much as it takes (requests of memory and ephemeral storage), or add a node.",
            True,
            name,
        )
    for condition in status.get("conditions", ()):
        if condition.get("reason") == "Unschedulable":
            yield Trouble(
                f"Pod {name} fits on no node: {condition.get('message', '')} "
                "Ask for less cpu or memory, correct node_selector and tolerations, or add a node.",
                False,  # a cluster may be growing
                name,
            )
    for container in _containers(pod):
        trouble = _trouble(name, container)
        if trouble:
            yield trouble


def _trouble(pod: str, container: dict[str, Any]) -> Trouble | None:
    waiting = container.get("state", {}).get("waiting", {})
    states = (container.get(state, {}).get("terminated") for state in ("state", "lastState"))
    ended = next(filter(None, states), None)
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    where = f"Pod {pod}, container {container['name']}"
    if reason in _IMAGES:
        return Trouble(
            f"{where}: the image {container.get('image', '')} cannot be had ({message or reason}). "
            "Push it to a registry that the nodes reach, correct the image, or name image_pull_secret.",
            reason != "ErrImagePull",  # the kubelet tries again
            pod,
        )
    if reason in _CONFIGURATION and _NOT_YET in message:
        return Trouble(f"{where} cannot be made yet: {message}.", False, pod)
    if reason in _CONFIGURATION:
        words = f"{where} cannot be made: {message}. Create what is missing, such as a Secret."
        return Trouble(words, True, pod)
    if ended and ended.get("reason") == "OOMKilled":
        return Trouble(f"{where} was ended for its memory: raise its memory limit.", True, pod)
    if ended and ended.get("exitCode"):
        lines = (ended.get("message") or "").strip().splitlines()
        last = f": {lines[-1].rstrip('. ')}" if lines else ""
        again = reason == _CRASHED or container.get("restartCount", 0) >= _TRIES
        words = f"{where} ended with exit code {ended['exitCode']}{last}. {_CRASH_REMEDY}"
        return Trouble(words, again, pod)
    return None


def _containers(pod: Pod) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
