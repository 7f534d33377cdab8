"""A fake of a cluster's API, the smallest that shows the behaviour: objects kept, faults on order.

It is no Kubernetes: it applies by replacing whole fields of a spec, makes a Deployment ready at once, and
answers what is asked of a service by a function. What a cluster does is proved on a real one (KUBECONFIG;
docs/kubernetes.md).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

Object = dict[str, Any]
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
AUTHORITY = ("configmaps", "kube-root-ca.crt")  # in each namespace; empty unless a test puts one there
_PATH = re.compile(
    r"^/apis?/(?:(?P<group>[^/]+)/)?v[^/]+/namespaces/(?P<namespace>[^/]+)/(?P<plural>[^/]+)(?P<rest>/.*)?$"
)


class Fault(NamedTuple):
    """An answer in place of the right one."""

    status: int
    message: str = "a fault on order"
    headers: dict[str, str] = {}  # noqa: RUF012  (nobody changes it)


class FakeKubernetes:
    """What the API knows.

    Attributes
    ----------
    namespace : the only one.
    unknown : plurals of kinds that are not installed.
    forbidden : plurals of kinds that the login has no right to, or verb and plural.
    faults : given as answers before anything else, each once, to requests of this method.
    pods : what a Deployment's pods look like: their status, by name of the Deployment.
    ahead : seconds that its clock is, of this machine's.
    logs : what a pod has logged, line by line, each with its moment.
    controllers : what is made of a new object, by its plural: they may change it, and the fake.
    answer : what a service says: its name, method, path below /proxy, and body, to status and content.
    """

    def __init__(self) -> None:
        self.namespace = "accidents"
        self.unknown: set[str] = set()
        self.forbidden: set[str] = set()
        self.faults: list[tuple[str, Fault]] = []
        self.objects: dict[tuple[str, str], Object] = {}
        self.pods: dict[str, Object] = {}
        self.ahead = 0.0
        self.logs: dict[str, list[tuple[str, str]]] = {}
        self.controllers: dict[str, Callable[[Object], None]] = {}
        self.answer: Callable[[str, str, str, Any], tuple[int, Any]] = lambda *_: (
            503,
            {"message": "no pods"},
        )
        self.asked: list[tuple[str, str]] = []
        self.url = ""
        self._lock = threading.Lock()

    def names(self, plural: str) -> list[str]:
        """Return the objects of a kind."""
        return sorted(name for kind, name in self.objects if kind == plural)

    def handle(self, method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        """Answer one request."""
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        with self._lock:
            self.asked.append((method, parts.path))
            for place, (ordered, fault) in enumerate(self.faults):
                if ordered == method:
                    del self.faults[place]
                    return fault.status, _status(fault.status, fault.message), fault.headers
            if parts.path == "/version":
                return 200, {"gitVersion": "v0-fake"}, {}
            if parts.path.endswith("/selfsubjectaccessreviews"):
                wanted = body["spec"]["resourceAttributes"]
                right = "/".join(filter(None, (wanted["resource"], wanted.get("subresource"))))
                allowed = right not in self.forbidden and f"{wanted['verb']} {right}" not in self.forbidden
                return 201, {"status": {"allowed": allowed}}, {}
            found = _PATH.match(parts.path)
            if found is None or found["plural"] in self.unknown:
                return 404, "404 page not found", {}
            if found["namespace"] != self.namespace:
                return *_of_no_namespace(method, found), {}
            plural, name, *rest = [found["plural"], *(found["rest"] or "/").strip("/").split("/")]
            if rest and rest[0] == "proxy":
                return *self.answer(name.split(":")[0], method, f"/{'/'.join(rest[1:])}", body), {}
            if rest == ["log"] and "timestamps" in query:
                lines = self.logs.get(name, ())
                since = query.get("sinceTime", "").rstrip("Z")
                return 200, "".join(f"{moment} {line}\n" for moment, line in lines if moment >= since), {}
            if rest == ["log"]:
                return 200, "the log's last line", {}
            return *self._object(method, plural, name, query, body), {}

    def _object(
        self, method: str, plural: str, name: str, query: dict[str, str], body: Any
    ) -> tuple[int, Any]:
        if plural == "pods" and not name:
            return 200, {"items": self._pods(query["labelSelector"])}
        if method == "GET" and not name:
            items = [each for (kind, _), each in sorted(self.objects.items()) if kind == plural]
            return 200, {"metadata": {}, "items": [each for each in items if _is_chosen(each, query)]}
        if method == "POST":
            return self._created(plural, body)
        there = self.objects.get((plural, name))
        if method == "GET" and there is None and (plural, name) == AUTHORITY:
            return 200, {"metadata": {"name": name}, "data": {}}
        if method == "PATCH":
            uid = body["metadata"].get("uid")
            if uid not in (None, (there or {"metadata": {}})["metadata"].get("uid")):
                return 409, _status(409, "uid mismatch: the provided object specified another uid")
            now = self._applied(there, body, query["fieldManager"])
            if "dryRun" not in query:
                self.objects[plural, name] = now
            return 200, now
        if there is None:
            return 404, _status(404, f'{plural} "{name}" not found')
        if method == "DELETE":
            uid = (body or {}).get("preconditions", {}).get("uid")
            if uid not in (None, there["metadata"].get("uid")):
                return 409, _status(409, "the UID in the precondition does not match")
            del self.objects[plural, name]
        return 200, there

    def _created(self, plural: str, body: Any) -> tuple[int, Any]:
        name = body["metadata"]["name"]
        if (plural, name) in self.objects:
            return 409, _status(409, f'{plural} "{name}" already exists')
        now = deepcopy(body)
        now["metadata"] |= {"generation": 1, "uid": str(uuid4())}
        self.objects[plural, name] = now
        self.controllers.get(plural, lambda _: None)(now)
        return 201, now

    def _applied(self, there: Object | None, wanted: Object, manager: str) -> Object:
        """Replace an object, but for fields of its spec that others have applied, which stay."""
        before = there["metadata"]["generation"] if there else 0
        managed = (there or {"metadata": {}})["metadata"].get("managedFields", [])
        others = [each for each in managed if each["manager"] != manager]
        kept = {name for each in others for name in each["fieldsV1"]["f:spec"]}
        now = deepcopy(wanted)
        if there is not None and kept:
            theirs = {name: value for name, value in there["spec"].items() if f"f:{name}" in kept}
            now["spec"] = {**theirs, **now["spec"]}
        fields = {f"f:{name}": {} for name in wanted.get("spec", {})}
        now["metadata"]["managedFields"] = [
            *others,
            {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": fields}},
        ]
        now["metadata"]["uid"] = (there or {"metadata": {}})["metadata"].get("uid") or str(uuid4())
        now["metadata"]["generation"] = before + (there is None or there.get("spec") != wanted.get("spec"))
        if wanted["kind"] == "Deployment" and wanted["metadata"]["name"] not in self.pods:
            number = now["spec"].get("replicas", 1)
            now["status"] = {
                "observedGeneration": now["metadata"]["generation"],
                **dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), number),
            }
        return now

    def _pods(self, selector: str) -> list[Object]:
        wanted = dict(pair.split("=") for pair in selector.split(","))
        return [
            {
                "metadata": {"name": f"{name}-{number}", **deployment["spec"]["template"]["metadata"]},
                "spec": deployment["spec"]["template"].get("spec", {"containers": [{"name": "main"}]}),
                "status": self.pods.get(name, READY),
            }
            for (kind, name), deployment in self.objects.items()
            if kind == "deployments" and wanted.items() <= deployment["metadata"]["labels"].items()
            for number in range(deployment["spec"].get("replicas", 1))
        ]


@contextmanager
def fake_kubernetes() -> Iterator[FakeKubernetes]:
    """Run it on a port of this machine."""
    fake = FakeKubernetes()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, content, headers = fake.handle(self.command, self.path, body)
            text = content if isinstance(content, str) else json.dumps(content)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PATCH = do_POST = do_DELETE = _answer  # noqa: N815  (the base class's names)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + fake.ahead)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _of_no_namespace(method: str, asked: re.Match[str]) -> tuple[int, Any]:
    """Answer as the real one does an admin: a list is empty, an object not there; nothing can be made."""
    name = (asked["rest"] or "").strip("/").split("/")[0]
    if method == "PATCH" or (method == "POST" and not name):
        return 404, _status(404, f'namespaces "{asked["namespace"]}" not found')
    if not name:
        return 200, {"metadata": {}, "items": []}
    return 404, _status(404, f'{asked["plural"]} "{name}" not found')


def _status(code: int, message: str) -> Object:
    return {"kind": "Status", "status": "Failure", "code": code, "message": message}


def _is_chosen(each: Object, query: dict[str, str]) -> bool:
    wanted = dict(pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair)
    return wanted.items() <= each["metadata"].get("labels", {}).items()
