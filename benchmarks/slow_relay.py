"""A server as it is when it is slow: each request through the relay waits before it is passed on."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_BYTES = 65_536


@contextmanager
def slow_relay(server: str, seconds: float) -> Iterator[str]:
    """Yield the address of a relay to an HTTP server that holds back every request so long."""
    target = urlsplit(server)
    where = (target.hostname or "", target.port or 80)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            answered = threading.Event()  # bytes that come after an answer begin the next request
            answered.set()

            def wait() -> None:
                if answered.is_set():
                    time.sleep(seconds)
                    answered.clear()

            with suppress(OSError), socket.create_connection(where) as upstream:
                threading.Thread(
                    target=_pass_on, args=(upstream, self.request, answered.set), daemon=True
                ).start()
                _pass_on(self.request, upstream, wait)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as relay:
        relay.daemon_threads = True
        relay.block_on_close = False  # callers keep their connections open
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{relay.server_address[1]}"
        relay.shutdown()


def _pass_on(source: socket.socket, target: socket.socket, before: Callable[[], None]) -> None:
    """Pass bytes on until one of the two closes, each time after `before`."""
    with suppress(OSError):
        while data := source.recv(_BYTES):
            before()
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
