"""A relay in front of a server, which passes requests on and has those fail that a test names."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# They are of one connection, not of what is asked.
_HOPS = {"connection", "transfer-encoding", "content-length", "host", "date", "server"}


@dataclass
class Relay:
    """What fails: requests whose path ends so are answered 500, unasked, or `after` they have been done."""

    url: str
    failing: str = ""
    after: bool = False
    failed: list[str] = field(default_factory=list)  # their paths

    def has_fail(self, path: str) -> bool:
        """Whether a request to this path fails."""
        if self.failing and path.partition("?")[0].endswith(self.failing):
            self.failed.append(path)
            return True
        return False


@contextmanager
def running_relay(server: str) -> Iterator[Relay]:
    """A relay to this address, on a free port of loopback."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fails = relay.has_fail(self.path)
            status, headers, content = (500, [], b"")
            if not fails or relay.after:
                status, headers, content = self._passed_on(body)
            self._answer(*((500, [], b"") if fails else (status, headers, content)))

        do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815  (http.server's names)

        def _passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
            request = urllib.request.Request(f"{server}{self.path}", body or None, kept, method=self.command)
            try:
                with opener.open(request, timeout=120) as answer:
                    return answer.status, answer.getheaders(), answer.read()
            except urllib.error.HTTPError as refused:
                with refused:
                    return refused.code, list(refused.headers.items()), refused.read()

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in _HOPS:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A server that is down, and callers that went away, are part of the tests."""

    http = Quiet(("127.0.0.1", 0), Handler)
    relay = Relay(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield relay
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
