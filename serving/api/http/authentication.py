"""The gate every request passes: request id, key, rate, security headers, and the count of its answer.

Pure ASGI: Starlette's BaseHTTPMiddleware would cost as much as the rest of a prediction.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from accidents.errors import AccidentsError
from serving.api.errors import ApiError
from serving.api.http.limits import Rates
from serving.api.operations.keys import CORRECT, LABEL, PREDICT, KeyRing
from serving.api.operations.metrics import REFUSED_KEYS, REQUESTS, SECONDS
from serving.api.settings import ApiSettings

_LOG = logging.getLogger(__name__)
_OPEN = ("/", "/words", "/health/live", "/health/ready")
_HOOK = "/hooks/alert"
_OPEN_UNDER = "/static/"
_SCOPES = {"/predict": PREDICT, "/predict/batch": PREDICT, "/labels": LABEL}  # what a key needs for a route
_DOCS = ("/docs", "/openapi.json")
_DOCS_UNDER = "/docs/"
_CSP = b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
# Swagger UI draws its icons from data: addresses and styles its elements one by one.
_CSP_OF_DOCS = _CSP + b"; img-src 'self' data:; style-src 'self' 'unsafe-inline'"
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
_PAGE = [*_HEADERS, (b"content-security-policy", _CSP)]
_DOCS_PAGE = [*_HEADERS, (b"content-security-policy", _CSP_OF_DOCS)]


@dataclass(frozen=True)
class CallerHeaders:
    """What the headers of a request say of who asks."""

    key: str | None
    host: str
    origin: str | None  # of the page that asks; None: no page
    forwarded: bool  # a proxy says so


class Gate:
    """Lets a request through to `app`, or answers it itself.

    What comes after finds in the scope's state `request_id`, `caller` (the name of the key, None if none is
    asked), `corrects` (whether the caller may change what others said) and `charged` (whose rate a request
    counts for).
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ApiSettings,
        keys: KeyRing,
        hook_keys: KeyRing,
        rates: Rates,
        routes: Collection[str],
    ) -> None:
        self._app, self._settings, self._rates = app, settings, rates
        self._keys, self._hook_keys = keys, hook_keys
        self._with_slash = {f"{route}/": route for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        scope = answer.scope = self._as_routed(scope)
        scope["state"]["corrects"] = False
        try:
            scope["state"]["caller"] = await self._admit(scope)
            await self._app(scope, receive, answer.send)
        except ApiError as error:
            await answer.refuse(error)
        except Exception:
            if answer.started:
                raise
            _LOG.exception("Request %s failed", scope["state"]["request_id"])
            await answer.refuse(ApiError("defect", "Something failed on our side. It is in our log."))
        finally:
            answer.count()

    def _as_routed(self, scope: Scope) -> Scope:
        """HEAD as GET, of which the server sends no body; a route that ends in a slash as the one without."""
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        if scope["path"] in self._with_slash:
            scope = {**scope, "path": self._with_slash[scope["path"]]}
        return scope

    async def _admit(self, scope: Scope) -> str | None:
        """Return the name of the caller's key. Raises ApiError for who may not ask."""
        path = scope["path"]
        access = self._access(path)
        if access == "closed":
            raise ApiError("not_found", "There is nothing here.")
        if access == "open" or scope["method"] == "OPTIONS":  # which methods there are is no secret
            return None
        presented = _presented(scope["headers"])
        if access == "hook":
            name = await self._require_key(self._hook_keys, presented.key, _address(scope))
            caller = f"hook {name}"  # a caller of its own, also where a prediction key has the same name
        elif self._settings.loopback and not self._any(self._keys):
            _require_own_machine(presented, self._settings.allowed_origins)
            name, caller = None, _address(scope)
        else:
            caller = name = await self._require_key(self._keys, presented.key, _address(scope))
            scope["state"]["corrects"] = self._granted(name, path)
        if access in ("charged", "hook"):
            scope["state"]["charged"] = caller
            await self._rates.charge(caller)
        return name

    def _access(self, path: str) -> str:
        """`open`, `key`, `closed`, or `charged`, which needs a key and counts as an accident.

        The hook has keys of its own, also on this machine, and is closed while there is none or nothing to
        start.
        """
        if path == _HOOK:
            return "hook" if self._settings.hook_command and self._any(self._hook_keys) else "closed"
        if path in _OPEN or path.startswith(_OPEN_UNDER):
            return "open"
        if path in _DOCS or path.startswith(_DOCS_UNDER):
            return self._settings.docs
        return self._settings.metrics if path == "/metrics" else "charged"

    def _granted(self, name: str, path: str) -> bool:
        """Whether the key may correct others' outcomes. Raises ApiError where it lacks the route's scope."""
        scopes = self._keys.scopes(name)
        if (needed := _SCOPES.get(path)) and needed not in scopes:
            raise ApiError(
                "scope_missing",
                f"This key lacks the scope {needed!r}. Ask who runs the API for one that has it: "
                f"python run.py keys new --scope {needed}.",
            )
        return CORRECT in scopes

    def _any(self, keys: KeyRing) -> bool:
        try:
            return keys.any()
        except AccidentsError as error:
            raise _untrusted(error) from None

    async def _require_key(self, keys: KeyRing, presented: str | None, address: str) -> str:
        if presented is None:
            raise _unauthorised("key_missing", "Send your key in the header X-API-Key, or as a Bearer token.")
        try:
            name = keys.check(presented)
        except AccidentsError as error:
            raise _untrusted(error) from None
        if name is None:
            REFUSED_KEYS.inc()
            await self._rates.wrong_key(address)
            raise _unauthorised("key_wrong", "This key is not known, or was revoked.")
        return name


class _Answer:
    """Watches the answer of one request: adds the headers, remembers the status."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self._send, self._begun = scope, send, time.perf_counter()
        self._method = scope["method"]
        self.started, self._status = False, 500
        self._request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = self._request_id

    async def send(self, message: Message) -> None:
        """Pass a message of the app on, with our headers."""
        if message["type"] == "http.response.start":
            self.started, self._status = True, message["status"]
            path = self.scope["path"]
            common = _DOCS_PAGE if path in _DOCS or path.startswith(_DOCS_UNDER) else _PAGE
            headers = [
                *message.get("headers", ()), *common, (b"x-request-id", self._request_id.encode())
            ]  # fmt: skip
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self, error: ApiError) -> None:
        """Answer an error without asking the app."""
        body = error.body(self._request_id)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def count(self) -> None:
        """Into the metrics; what no route took is one label, however many paths are tried."""
        route = getattr(self.scope.get("route"), "path", "none")
        REQUESTS.labels(route, _METHODS.get(self._method, "other"), self._status).inc()
        SECONDS.labels(route).observe(time.perf_counter() - self._begun)


_METHODS = {name: name for name in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")}


def _presented(headers: list[tuple[bytes, bytes]]) -> CallerHeaders:
    key, host, origin, forwarded = None, "", None, False
    for name, value in headers:
        if name == b"x-api-key":
            key = value.decode("latin-1")
        elif name == b"authorization" and key is None and value[:7].lower() == b"bearer ":
            key = value[7:].strip().decode("latin-1")
        elif name == b"host":
            host = value.decode("latin-1")
        elif name == b"origin":
            origin = value.decode("latin-1")
        elif name in _PROXYS:
            forwarded = True
    return CallerHeaders(key, host, origin, forwarded)


_PROXYS = (b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"forwarded", b"via")


def _require_own_machine(presented: CallerHeaders, allowed_origins: Collection[str]) -> None:
    """Without a key, others could reach us through a proxy or through a page that is open on this machine.

    Under the page's own name that leads here (DNS rebinding), or by a request that asks nobody first.
    """
    host = presented.host
    if presented.forwarded:
        raise ApiError("host_refused", "Behind a proxy a key is needed: python run.py keys new.")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    try:
        good = name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        good = False
    if not good:
        raise ApiError("host_refused", "Without a key, ask as localhost or 127.0.0.1.")
    origin = presented.origin
    if origin is not None and origin.partition("://")[2] != host and origin not in allowed_origins:
        raise ApiError(
            "origin_refused", "A page of another origin asks. `allowed_origins` in configs/api.yaml."
        )


def _address(scope: Mapping[str, Any]) -> str:
    """Who asks; of IPv6 the network, which is one household's or machine's."""
    client = scope.get("client")
    address = str(client[0]) if client else "unknown"
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if ":" in address else address


def _untrusted(error: AccidentsError) -> ApiError:
    _LOG.error("%s", error)
    return ApiError("keys_unavailable", "Keys cannot be checked at the moment. Try again.")


def _unauthorised(code: str, message: str) -> ApiError:
    return ApiError(code, message, headers={"WWW-Authenticate": "Bearer"})
