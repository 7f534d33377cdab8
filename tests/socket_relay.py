"""A relay in front of a server's Unix socket, which may go away as if the server had: for one client."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class SocketRelay:
    """Passes on what comes, until it is `gone`."""

    def __init__(self, server: Path, path: Path) -> None:
        self.path, self._server = path, server
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def gone(self) -> None:
        """End every connection, and take no other."""
        self.path.unlink(missing_ok=True)
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._open += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while content := one.recv(65536):
            other.sendall(content)
        other.shutdown(socket.SHUT_WR)


@contextmanager
def running_socket_relay(server: Path) -> Iterator[SocketRelay]:
    """One to this socket, gone at the end."""
    with tempfile.TemporaryDirectory() as folder:  # a socket's path may not be long
        relay = SocketRelay(server, Path(folder) / "relay.sock")
        try:
            yield relay
        finally:
            relay.gone()
