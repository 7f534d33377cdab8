"""A lease in a cluster: of those who would change a model at most one does so at a time."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from stacks.cluster.answers import ClusterError
from stacks.cluster.namespace import Namespace
from stacks.cluster.objects import MANAGED_BY, MANAGER, Manifest

LEASE_SECONDS = 60  # after so long without a word its holder is taken for dead
_RENEWED_EVERY = LEASE_SECONDS / 4


@contextmanager
def leased(namespace: Namespace, name: str, what: str) -> Iterator[None]:
    """Hold a lease until the block ends; `what` is what it lets one do, in words.

    Raises ClusterError with who holds it if somebody else does; at the end, if another took it meanwhile.
    """
    holder = f"{socket.gethostname()}, process {os.getpid()} ({uuid4().hex[:8]})"
    taken, done, lost = _take(namespace, name, holder, what), threading.Event(), threading.Event()
    uid = taken["metadata"]["uid"]
    renewing = threading.Thread(target=_renew, args=(namespace, name, holder, uid, done, lost), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        with suppress(ClusterError):  # another one's by now, or it runs out by itself
            namespace.delete("Lease", name, uid)
    if lost.is_set():
        raise ClusterError(
            f"Nothing was heard of this machine for {LEASE_SECONDS} s, and another began to {what}. What is "
            "there now may be of both: see `python run.py status`, and run the command again."
        )


def _take(namespace: Namespace, name: str, holder: str, what: str) -> Manifest:
    for _ in range(2):
        made = namespace.create(_lease(name, holder, namespace.now()))
        if made is not None:
            return made
        there = namespace.read("Lease", name)
        if there is None:
            continue
        if (
            there["spec"].get("holderIdentity") == holder
        ):  # made all the same, though the answer said otherwise
            return there
        if not _has_run_out(there["spec"], namespace.now()):
            who = there["spec"].get("holderIdentity", "Somebody")
            raise ClusterError(
                f"{who} is at work to {what}. Run the command again when that is done; if it has died, in "
                f"{LEASE_SECONDS} s."
            )
        namespace.delete("Lease", name, there["metadata"]["uid"])
    raise ClusterError(f"Others are at work to {what} just now. Run the command again.")


def _renew(
    namespace: Namespace, name: str, holder: str, uid: str, done: threading.Event, lost: threading.Event
) -> None:
    renewed = _lease(name, holder, namespace.now())
    renewed["metadata"]["uid"] = uid  # the cluster refuses it where this very lease is gone
    while not done.wait(_RENEWED_EVERY) and not lost.is_set():
        try:
            namespace.apply({**renewed, "spec": _lease(name, holder, namespace.now())["spec"]})
        except ClusterError:
            with suppress(ClusterError):  # the next time
                there = namespace.read("Lease", name)
                if there is None or there["metadata"]["uid"] != uid:
                    lost.set()


def _has_run_out(spec: dict[str, Any], now: datetime) -> bool:
    renewed, seconds = spec.get("renewTime"), spec.get("leaseDurationSeconds")
    if not renewed or not seconds:
        return True
    until = datetime.fromisoformat(renewed.replace("Z", "+00:00")) + timedelta(seconds=seconds)
    return until < now


def _lease(name: str, holder: str, now: datetime) -> Manifest:
    """Return the lease, renewed now by the cluster's clock: one that is ahead takes no live one away."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "labels": {MANAGED_BY: MANAGER}},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }
