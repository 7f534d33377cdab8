"""A web server on this machine that does to a download what servers and networks do.

`server.files` holds what it has; `server.script[path]` a list of answers, one used up by each request for
that path. When none is left it behaves: ranges, ETags and conditions as HTTP says.
"""

from __future__ import annotations

import gzip
import hashlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]
LONGEST_STALL = 20.0  # seconds: a stalled answer ends even if nobody lets it go


@dataclass
class Asked:
    """One request: its headers, and the status it was answered with."""

    path: str
    headers: dict[str, str]
    status: int | None = None


@dataclass
class HostileServer:
    """What the server has, how it will misbehave, and what it was asked."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    script: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)  # ends every stall

    def asked_for(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path == path]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    state: HostileServer


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: _Server
    asked: Asked
    client_is_gone = False

    @property
    def body(self) -> bytes:
        return self.server.state.files[self.path]

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'

    def do_GET(self) -> None:
        state = self.server.state
        self.asked = Asked(self.path, dict(self.headers.items()))
        state.asked.append(self.asked)
        answers = state.script.get(self.path, [])
        (answers.pop(0) if answers else behave)(self)

    def start(self, status: int, headers: Mapping[str, str | int] | Mapping[str, str]) -> None:
        """Send the status line and the headers."""
        self.asked.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def send(self, body: bytes) -> None:
        """Send bytes to a client that may be gone: many tests end by leaving."""
        try:
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:
            self.client_is_gone = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: pytest shows what a test asks for."""


def behave(handler: Handler) -> None:
    """Answer as HTTP says: 200, 206, 304, 404 or 416."""
    if handler.path not in handler.server.state.files:
        status(404)(handler)
        return
    body, etag, headers = handler.body, handler.etag, handler.headers
    if headers.get("If-None-Match") == etag:
        handler.start(304, {"ETag": etag})
        return
    wanted = headers.get("Range")
    if wanted is None or headers.get("If-Range", etag) != etag:
        handler.start(200, {"ETag": etag, "Content-Length": len(body)})
        handler.send(body)
        return
    first = int(wanted.removeprefix("bytes=").removesuffix("-"))
    if first >= len(body):
        handler.start(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": 0})
        return
    part_of(handler, first, etag)


def part_of(handler: Handler, first: int, etag: str) -> None:
    """Answer 206 with the bytes from `first` on."""
    body = handler.body
    handler.start(
        206,
        {
            "ETag": etag,
            "Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}",
            "Content-Length": len(body) - first,
        },
    )
    handler.send(body[first:])


def cut_after(count: int, **headers: str) -> Answer:
    """Announce everything, send `count` bytes and hang up. `ETag=""` sends none."""

    def answer(handler: Handler) -> None:
        told = {"ETag": handler.etag, "Content-Length": str(len(handler.body))} | headers
        handler.start(200, {name: value for name, value in told.items() if value})
        handler.send(handler.body[:count])

    return answer


def stall_after(count: int) -> Answer:
    """Send `count` bytes and then nothing, until the test lets go; then the rest."""

    def answer(handler: Handler) -> None:
        cut_after(count)(handler)
        handler.server.state.let_go.wait(LONGEST_STALL)
        handler.send(handler.body[count:])

    return answer


def trickle(handler: Handler) -> None:
    """Send a byte now and then: never silent, never done."""
    handler.start(200, {"ETag": handler.etag, "Content-Length": len(handler.body)})
    for byte in handler.body[:200]:
        handler.send(bytes([byte]))
        time.sleep(0.02)
        if handler.client_is_gone:
            return


def announce(length: int) -> Answer:
    """Send everything under a wrong Content-Length."""

    def answer(handler: Handler) -> None:
        handler.start(200, {"ETag": handler.etag, "Content-Length": length})
        handler.send(handler.body)

    return answer


def whole(handler: Handler) -> None:
    """Send everything, whatever range was asked for."""
    handler.start(200, {"ETag": handler.etag, "Content-Length": len(handler.body)})
    handler.send(handler.body)


def range_of_another_version(handler: Handler) -> None:
    """Heed Range but not If-Range: the rest of what the file is by now."""
    part_of(handler, int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-")), handler.etag)


def redirect(location: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.start(302, {"Location": location, "Content-Length": 0})

    return answer


def status(code: int, **headers: str) -> Answer:
    """Answer with a status and a short text. `retry_after="1"` is sent as `Retry-After`."""

    def answer(handler: Handler) -> None:
        named = {name.replace("_", "-").title(): value for name, value in headers.items()}
        handler.start(code, named | {"Content-Length": "5"})
        handler.send(b"sorry")

    return answer


def packed(handler: Handler) -> None:
    """Send it gzipped although identity was asked for; ranges are of the gzipped bytes."""
    body = gzip.compress(handler.body, mtime=0)
    first = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    told = {"ETag": handler.etag, "Content-Encoding": "gzip", "Content-Length": str(len(body) - first)}
    if first:
        handler.start(206, told | {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"})
    else:
        handler.start(200, told)
    handler.send(body[first:])


def packed_cut_after(count: int) -> Answer:
    """Announce the gzipped file, send `count` bytes of it and hang up."""

    def answer(handler: Handler) -> None:
        body = gzip.compress(handler.body, mtime=0)
        told = {"ETag": handler.etag, "Content-Encoding": "gzip", "Content-Length": str(len(body))}
        handler.start(200, told)
        handler.send(body[:count])

    return answer


def chunked_cut_after(count: int) -> Answer:
    """Send without a length, chunked, and hang up before the last chunk."""

    def answer(handler: Handler) -> None:
        handler.start(200, {"ETag": handler.etag, "Transfer-Encoding": "chunked"})
        handler.send(f"{count:x}\r\n".encode() + handler.body[:count] + b"\r\n")

    return answer


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[HostileServer]:
    """Run a server on a free port of 127.0.0.1 until the block ends."""
    state = HostileServer()
    with _Server(("127.0.0.1", 0), Handler) as server:
        server.state = state
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        state.address = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            state.let_go.set()
            server.shutdown()
            thread.join()
