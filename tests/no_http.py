"""A port where something listens that answers no HTTP, as a database or an SSH server does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread


class _Greeting(StreamRequestHandler):
    def handle(self) -> None:
        self.request.recv(65_536)
        self.wfile.write(b"SSH-2.0-OpenSSH_9\r\n")


@contextmanager
def no_http() -> Iterator[str]:
    """Its address, as of a server that did answer HTTP."""
    with ThreadingTCPServer(("127.0.0.1", 0), _Greeting) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
