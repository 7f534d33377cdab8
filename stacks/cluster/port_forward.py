"""A port of this machine that leads to one of a pod: for what is in a cluster, asked from outside of it."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import closing, suppress

from stacks.errors import StackError

_BLOCK = 1 << 16


class PortForward:
    """Listens on loopback until it is closed.

    Parameters
    ----------
    connect : makes a connection to the pod, for each that is made here: the pod may be another by then.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                try:
                    there = connect()
                except StackError:  # whoever has connected sees it end, and may connect again
                    return
                with closing(there):
                    back = threading.Thread(target=_pump, args=(there, self.request), daemon=True)
                    back.start()
                    _pump(self.request, there)
                    back.join()

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True).start()

    @property
    def port(self) -> int:
        """The port on loopback."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Take no more connections; those that are open end with the process, or at the other end."""
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads, block_on_close = True, False


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Hand on what comes until it ends, and have the other side end as well."""
    with suppress(OSError):
        while data := source.recv(_BLOCK):
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
