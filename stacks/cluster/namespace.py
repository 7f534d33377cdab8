"""A namespace of a cluster: objects applied, read, listed and deleted, and services asked by way of its API.

Everything may be asked again: what is applied is declared (server-side apply, under our own field manager).
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from stacks.cluster.answers import ClusterError, ConflictError, GoneError, in_words, unreachable
from stacks.cluster.objects import KINDS, MANAGED_BY, MANAGER, Manifest, selecting
from stacks.cluster.pod_troubles import failed_container

if TYPE_CHECKING:
    from kubernetes.client import ApiClient
    from tenacity import RetryCallState

_ATTEMPTS, _LONGEST = 5, 15.0  # how often an answer is waited for, seconds between two
_AGAIN = (429, 500, 502, 503, 504)  # an API that is overloaded, or changes its leader
_PAGE = 500  # objects a list is read in
_APPLY = "application/apply-patch+yaml"  # of which JSON is a part
_AUTHORITY = "kube-root-ca.crt"  # Kubernetes puts its certificate authority into each namespace
# A list tells nothing of the namespace: of one that is not there it is empty, and no error.
_TO_LOOK = ("get", "ConfigMap")
_APPLIED = {"force": "true", "fieldValidation": "Strict"}


class Refusal(NamedTuple):
    """Why a pod was refused, and when it was last so; "" where the cluster does not say."""

    words: str
    at: str


class _TryAgainError(Exception):
    def __init__(self, seconds: float | None, reason: ClusterError) -> None:
        super().__init__(str(reason))
        self.seconds, self.reason = seconds, reason


class Namespace:
    """One namespace.

    Parameters
    ----------
    client : of the cluster's API.
    timeout : seconds for one request.
    """

    def __init__(self, client: ApiClient, name: str, timeout: float, adopt: bool = False) -> None:
        self._client, self.name, self._timeout, self._adopt = client, name, timeout, adopt
        self._ahead: timedelta | None = None  # the cluster's clock, of ours

    def apply(self, manifest: Manifest, dry_run: bool = False, manager: str = MANAGER) -> Manifest:
        """Have an object be so: made, changed or left as it is. Returns it as it is then.

        `manager` is who has these fields from now on.

        Raises ClusterError if it is refused, or there is one of this name that is not ours.
        """
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if not self._adopt:
            self._require_ours(kind, name)
        query = {**_APPLIED, "fieldManager": manager, **({"dryRun": "All"} if dry_run else {})}
        answer = self._object("PATCH", f"apply {kind} {name}", kind, name, query, manifest)
        return answer or {}

    def create(self, manifest: Manifest) -> Manifest | None:
        """Make an object; None if there is one of this name."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        try:
            return self._object("POST", f"create {kind} {name}", kind, "", query, manifest)
        except ConflictError:
            return None

    def read(self, kind: str, name: str) -> Manifest | None:
        """Return an object, None if there is none."""
        return self._object("GET", f"read {kind} {name}", kind, name)

    def delete(self, kind: str, name: str, uid: str | None = None) -> None:
        """Delete an object and what it made; that it is gone is no error.

        With `uid` that very object: raises ClusterError if another one has its name.
        """
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        self._object("DELETE", f"delete {kind} {name}", kind, name, body=body)

    def list(self, kind: str, labels: Mapping[str, str]) -> list[Manifest]:
        """Return the objects with these labels; none of a kind that the cluster does not know."""
        for _ in range(_ATTEMPTS):
            try:
                return list(self._pages(kind, labels))
            except GoneError:  # the part that comes next is of a list that is no more
                continue
        raise ClusterError(f"The cluster could not list {kind}: it changes faster than it can be read.")

    def require_kind(self, kind: str) -> None:
        """Raise ClusterError, with what to install, if the cluster does not know a kind."""
        try:
            self._ask("GET", f"list {kind}", self._path(kind, ""), {"limit": 1}, kind=kind)
        except _NotThereError as error:
            raise error.reason from None

    def refusals(self) -> dict[str, Refusal]:
        """Return why pods were last refused, by the name of what would have them: told by events alone."""
        events = self._object("GET", "list Event", "Event", "", {"fieldSelector": "reason=FailedCreate"})
        troubles = [
            (
                event["involvedObject"]["name"],
                Refusal(event["message"], str(event.get("lastTimestamp") or "")),
            )
            for event in (events or {}).get("items", ())
        ]
        return dict(sorted(troubles, key=lambda each: each[1].at))

    def logs(self, pod: str, container: str, lines: int = 15) -> str:
        """Return what a container has said last, "" if that is not to be had."""
        path = f"{self._path('Pod', pod)}/log"
        try:
            return self._ask(
                "GET", f"read the log of {pod}", path, {"container": container, "tailLines": lines}
            )
        except ClusterError:
            return ""

    def logged_since(self, pod: str, container: str, since: str) -> Sequence[tuple[str, str]]:
        """Return what a container has logged after a moment, each line with its own, which sorts as text.

        [] where there is none, or none is to be had.

        Parameters
        ----------
        since : the moment of a line; "" for all of it.
        """
        query: dict[str, Any] = {"container": container, "timestamps": "true"}
        if since:
            query["sinceTime"] = f"{since[:19]}{since[29:]}"  # the kubelet takes whole seconds
        try:
            text = self._ask("GET", f"read the log of {pod}", f"{self._path('Pod', pod)}/log", query)
        except ClusterError:
            return []
        lines = (line.partition(" ") for line in text.split("\n"))  # a progress bar's \r ends no line
        return [(moment, words) for moment, _, words in lines if moment > since]

    def last_words(self, pods: Iterable[Manifest]) -> str:
        """Return what a container that has failed logged last, as a sentence; "" if there is nothing."""
        for pod in pods:
            container = failed_container(pod)
            lines = self.logs(pod["metadata"]["name"], container).strip().splitlines() if container else []
            if lines:
                return f" It said last: {lines[-1]}"
        return ""

    def ask(self, service: str, port: int, method: str, path: str, body: Any = None) -> Any:
        """Ask a service over HTTP, by way of the cluster's API: from wherever that is reached.

        Raises ClusterError with what it answers if that is no success, or if nothing answers.
        """
        proxied = f"{self._path('Service', f'{service}:{port}')}/proxy{path}"
        answer = self._ask(method, f"ask {service} for {path}", proxied, body=body)
        return json.loads(answer) if answer else None

    def connection(self, pod: str, port: int) -> socket.socket:
        """Return a connection to a port of a pod, by way of the cluster's API.

        Raises ClusterError if the API refuses, or is not there.
        """
        from kubernetes.client import ApiClient, ApiException, CoreV1Api
        from kubernetes.stream import portforward

        api = CoreV1Api(ApiClient(self._client.configuration))  # its own: `portforward` changes it for a call
        try:
            made = portforward(api.connect_get_namespaced_pod_portforward, pod, self.name, ports=str(port))
        except ApiException as error:
            reason = str(error.reason).partition("\n")[0]
            raise ClusterError(
                f"The cluster does not forward port {port} of pod {pod}: {reason}. That needs the "
                "rights `get` and `create` on pods/portforward, as `kubectl port-forward` does."
            ) from error
        connection: socket.socket = made.socket(port)
        return connection

    def cluster(self) -> str:
        """Return what tells its cluster from another, from within it or outside; "" where it does not say."""
        known = self.read("ConfigMap", _AUTHORITY) or {}
        certificate = known.get("data", {}).get("ca.crt", "")
        return hashlib.sha256(certificate.encode()).hexdigest()[:16] if certificate else ""

    def version(self) -> str:
        """Return the cluster's version."""
        return str(json.loads(self._ask("GET", "tell its version", "/version"))["gitVersion"])

    def now(self) -> datetime:
        """Return the cluster's time: of all who ask it the same, whatever their own clocks say."""
        if self._ahead is None:
            self.version()
        return datetime.now(UTC) + (self._ahead or timedelta(0))

    def require_rights(self, rights: Mapping[str, Iterable[str]], others: str = "") -> str:
        """Return what was reached, in words.

        Raises ClusterError naming the rights that this login lacks, or if there is no such namespace: in one
        that is not there an admin may do everything.

        Parameters
        ----------
        rights : verbs, by kind, or by kind and a part of it, such as Pod/log.
        others : which of them kubernetes/base/rbac.yaml has not, and where they are told of.
        """
        version = self.version()
        wanted = [(verb, what) for what, verbs in rights.items() for verb in verbs]
        wanted += [_TO_LOOK] if _TO_LOOK not in wanted else []
        lacking = [f"{verb} {_resource(what)}" for verb, what in wanted if not self.may(verb, what)]
        if lacking:
            raise ClusterError(
                f"This login may not {', '.join(lacking)} in namespace {self.name}. Have these rights "
                f"granted (kubernetes/base/rbac.yaml has them{others and f', but for {others}'})."
            )
        self._require_there()
        return f"Kubernetes {version} answers, and grants what is needed in namespace {self.name}"

    def may(self, verb: str, what: str) -> bool:
        """Whether this login has a right in the namespace, on a kind or on a part of it, such as Pod/log."""
        group = KINDS[what.partition("/")[0]][0].rpartition("/")[0]
        plural, _, part = _resource(what).partition("/")
        attributes = {
            "namespace": self.name, "verb": verb, "group": group, "resource": plural, "subresource": part,
        }  # fmt: skip
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool(json.loads(self._ask("POST", "tell our rights", path, body=review))["status"]["allowed"])

    def _require_there(self) -> None:
        if self.read("ConfigMap", _AUTHORITY) is None:
            raise ClusterError(
                f"There is no namespace {self.name} in this cluster, or it is being deleted. Create it: "
                f"kubectl create namespace {self.name}."
            )

    def _require_ours(self, kind: str, name: str) -> None:
        there = self.read(kind, name)
        if there is not None and there["metadata"].get("labels", {}).get(MANAGED_BY) != MANAGER:
            raise ClusterError(
                f"There is a {kind} {name} in namespace {self.name} which somebody else has made. Set "
                "`adopt: true` of the model deployer to take it over, or use another namespace."
            )

    def _pages(self, kind: str, labels: Mapping[str, str]) -> Iterator[Manifest]:
        query: dict[str, Any] = {"labelSelector": selecting(labels), "limit": _PAGE}
        while True:
            page = self._object("GET", f"list {kind}", kind, "", query) or {}
            for item in page.get("items", ()):
                yield {"kind": kind, **item}
            following = page.get("metadata", {}).get("continue")
            if not following:
                return
            query["continue"] = following

    def _object(
        self,
        method: str,
        what: str,
        kind: str,
        name: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> Manifest | None:
        """Ask about an object; None if there is none of this name, or of this kind where it is only read."""
        try:
            return dict(json.loads(self._ask(method, what, self._path(kind, name), query, body, kind)))
        except _NotThereError as error:
            if method in ("PATCH", "POST"):  # the kind, or the namespace
                raise error.reason from None
            return None

    def _path(self, kind: str, name: str) -> str:
        version, plural = KINDS[kind]
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        path = f"{root}/namespaces/{self.name}/{plural}"
        return f"{path}/{name}" if name else path

    def _ask(
        self,
        method: str,
        what: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        kind: str = "",
    ) -> str:
        attempts = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=_wait,
            retry=retry_if_exception_type(_TryAgainError),
            reraise=True,
        )
        try:
            return str(attempts(self._once, method, what, path, query or {}, body, kind))
        except _TryAgainError as error:
            raise error.reason from None

    def _once(self, method: str, what: str, path: str, query: Mapping[str, Any], body: Any, kind: str) -> str:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        headers = {
            "Content-Type": _APPLY if method == "PATCH" else "application/json",
            "Accept": "application/json",
        }
        try:
            response, _, _ = self._client.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=(self._timeout, self._timeout),  # of a lone float it takes no notice
            )
            content = bytes(response.data)
            if date := response.headers.get("Date"):
                self._ahead = parsedate_to_datetime(date) - datetime.now(UTC)
            return content.decode("utf-8", errors="replace")
        except ApiException as error:
            raise _answered(error, what, kind) from error
        except (HTTPError, OSError) as error:
            raise _TryAgainError(None, unreachable(error, what)) from error


class _NotThereError(ClusterError):
    def __init__(self, reason: ClusterError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def find_namespace(namespace: str, context: str = "", timeout: float = 30, adopt: bool = False) -> Namespace:
    """Return a namespace of the cluster of a kubeconfig's context; in a pod without one, of its own cluster.

    Raises ClusterError if there is no such context, or no client of Kubernetes.

    Parameters
    ----------
    context : empty: the kubeconfig's current one.
    adopt : whether what somebody else has made may be taken over.
    """
    try:
        from kubernetes import client, config
        from kubernetes.config import ConfigException
    except ImportError as error:
        raise ClusterError(
            f"The client of Kubernetes is not installed ({error}). `make staging` installs it."
        ) from error
    configuration = client.Configuration()
    configuration.retries = False  # we ask again ourselves, and know when
    try:
        if is_pod():
            config.load_incluster_config(client_configuration=configuration)
        else:
            # Its own default is the environment's when the client was imported, not as it is now.
            file = os.environ.get("KUBECONFIG") or "~/.kube/config"
            config.load_kube_config(file, context=context or None, client_configuration=configuration)
    except ConfigException as error:
        if context:
            raise ClusterError(
                f"There is no context {context} in the kubeconfig: {error}. `kubectl config get-contexts` "
                "lists them; KUBECONFIG names another file."
            ) from error
        raise ClusterError(
            f"No cluster is known here: {error}. Set KUBECONFIG to a file that names one."
        ) from error
    return Namespace(client.ApiClient(configuration), namespace, timeout, adopt)


def _resource(what: str) -> str:
    kind, slash, part = what.partition("/")
    return f"{KINDS[kind][1]}{slash}{part}"


def is_pod() -> bool:
    """Whether this runs in a pod of the cluster that is meant.

    A kubeconfig that is named may mean another one: a workflow's runner may be a pod of whatever cluster.
    """
    return "KUBERNETES_SERVICE_HOST" in os.environ and not os.environ.get("KUBECONFIG")


def _answered(error: Any, what: str, kind: str) -> Exception:
    """Return what to do about an answer that is no success."""
    status, body = int(error.status or 0), error.body or ""
    if not status:  # it was not asked: a certificate that is not trusted
        return unreachable(error, what)
    text = body.decode("utf-8", errors="replace") if isinstance(body, bytes) else str(body)
    reason = in_words(status, text, what, kind)
    if status == 404:
        return _NotThereError(reason)
    if status in _AGAIN and "denied the request" not in text:
        after = (error.headers or {}).get("Retry-After")
        return _TryAgainError(float(after) if after and after.isdigit() else None, reason)
    return reason


def _wait(state: RetryCallState) -> float:
    """Seconds until the next attempt: as the API asks, else twice as long each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.seconds if isinstance(error, _TryAgainError) else None
    return min(asked if asked is not None else 0.25 * 2**state.attempt_number, _LONGEST)
