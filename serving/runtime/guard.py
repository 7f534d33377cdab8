"""What stands before every route of the model server: who may ask, and how much.

A server on 127.0.0.1 is within reach of every web page that is open on the machine: a page may send it simple
requests, and, under a name of its own that it has lead to 127.0.0.1 (DNS rebinding), read the answers. So
requests for another host, or from a page of another origin, are refused.

Pure ASGI: it costs a prediction some microseconds.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http_limits import Refused

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HOSTS = "MODEL_SERVER_HOSTS"
ANY_HOST = "*"  # in a pod: the API server of a cluster asks under the name by which it was asked itself
MAX_BODY = 16 * 1024 * 1024  # bytes; 10,000 rows are a third of it
REPOSITORY = "/v2/repository"
CLOSED = "The model repository is for the deployer alone: python run.py --pipeline deploy, or run.py stop."
_READ = (b"host", b"origin", b"sec-fetch-site", b"content-length", b"authorization")
_OWN_SITES = (None, b"same-origin", b"none")


def allowed_hosts(*more: str) -> set[str]:
    """Names under which a server may be asked: of loopback, these, and those in $MODEL_SERVER_HOSTS."""
    named = (host.strip().lower() for host in os.environ.get(HOSTS, "").split(","))
    return {*LOOPBACK, *more, *filter(None, named)}


class Guard:
    """Lets requests of programs on this machine through to `app`.

    Parameters
    ----------
    hosts : names under which the server may be asked; `*`: any, where no browser is on the same machine.
    max_body : bytes that a request's body may have.
    token : what opens the repository, as `Authorization: Bearer`; None: nothing does.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], max_body: int, token: str | None = None) -> None:
        self._app, self._max_body = app, max_body
        self._hosts = {host.encode() for host in hosts}
        self._any_host = ANY_HOST in hosts
        self._authorization = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = _headers(scope)
            self._require_own_page(headers)
            self._require_token(scope["path"], headers)
            receive = await self._bounded(headers, receive)
        except Refused as refused:
            await refuse(refused, send)
            return
        await self._app(scope, receive, send)

    def _require_own_page(self, headers: dict[bytes, bytes]) -> None:
        """Let the server's own pages (/v2/docs) ask it, and programs, which send no Origin."""
        host = headers.get(b"host", b"").lower()
        if not self._any_host and _name(host) not in self._hosts:
            raise Refused(HTTPStatus.FORBIDDEN, "This is not the host that was asked for.")
        if headers.get(b"origin", b"http://" + host).lower() != b"http://" + host:
            raise Refused(HTTPStatus.FORBIDDEN, "Pages of other origins may not ask this server.")
        if headers.get(b"sec-fetch-site") not in _OWN_SITES:
            raise Refused(HTTPStatus.FORBIDDEN, "Pages of other sites may not ask this server.")

    def _require_token(self, path: str, headers: dict[bytes, bytes]) -> None:
        if not path.startswith(REPOSITORY):
            return
        given = headers.get(b"authorization", b"")
        if self._authorization is None or not hmac.compare_digest(given, self._authorization):
            raise Refused(HTTPStatus.UNAUTHORIZED, CLOSED)

    async def _bounded(self, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """Return what gives the body, which is no larger than allowed."""
        announced = headers.get(b"content-length")
        if announced is None:  # none, or in chunks
            return again(await read(receive, self._max_body), receive)
        if int(announced) > self._max_body:
            raise _too_large(self._max_body)
        return receive


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers that are looked at. Raises Refused if one comes twice."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            if name in headers:
                raise Refused(HTTPStatus.BAD_REQUEST, f"The header {name.decode()} is there twice.")
            headers[name] = value
    return headers


def _name(host: bytes) -> bytes:
    """Return a Host header without its port."""
    return host[: host.find(b"]") + 1] if host.startswith(b"[") else host.partition(b":")[0]


async def read(receive: Receive, limit: int) -> list[Message]:
    """Return the messages of a body of at most `limit` bytes. Raises Refused for a larger one."""
    messages, size, more = [], 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        messages.append(message)
        more = message.get("more_body", False)
    return messages


def again(messages: list[Message], receive: Receive) -> Receive:
    """Give what was received once more, then what follows."""
    waiting = iter(messages)

    async def give() -> Message:
        for message in waiting:
            return message
        return await receive()

    return give


def _too_large(limit: int) -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {limit} bytes.")


async def refuse(refused: Refused, send: Send) -> None:
    """Answer it."""
    body = json.dumps({"error": refused.message}).encode()
    headers: Any = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # what is left of the body is not read
    ]
    await send({"type": "http.response.start", "status": refused.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
