"""How a Bento takes over a port from another one without a pause: both listen for a moment.

By itself BentoML's arbiter listens from its start, alone, and what the kernel gives to it waits until the
Bento is loaded. Here uvicorn does, in the worker, once it can answer.
"""

from __future__ import annotations

import socket
from typing import Any

from circus.sockets import CircusSocket


def share_ports() -> None:
    """Have the sockets of this process' arbiter bind what others of this user may have bound so, too."""
    CircusSocket.bind, CircusSocket.listen = _bind, _leave_to_the_worker


def _bind(bound: CircusSocket, address: Any) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    socket.socket.bind(bound, address)


def _leave_to_the_worker(bound: CircusSocket, backlog: int = 0) -> None:
    pass
