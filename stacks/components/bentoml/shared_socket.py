"""How a Bento takes over a port from another one without a pause: both listen for a moment.

By itself BentoML's arbiter listens from its start, alone, and what the kernel gives to it waits until the
Bento is loaded. Here uvicorn does, in the worker, once it can answer; from then on the kernel gives each new
connection to it. One that the other one had not accepted at its end would be reset.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from circus.sockets import CircusSocket

_ATTACH = 51  # SO_ATTACH_REUSEPORT_CBPF of Linux, which Python has no name for
_RETURN = 0x06  # BPF_RET | BPF_K: the program's answer is a constant, here
_LAST = 1  # which listener gets a connection: of two the newer; where there is one, that
_LOOK_SECONDS = 0.01


def share_ports() -> None:
    """Have the sockets of this process' arbiter bind what others of this user may have bound so, too."""
    CircusSocket.bind, CircusSocket.listen = _bind, _leave_to_the_worker


def _bind(bound: CircusSocket, address: Any) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    socket.socket.bind(bound, address)


def _leave_to_the_worker(bound: CircusSocket, backlog: int = 0) -> None:
    if sys.platform == "linux":  # elsewhere both go on getting connections
        threading.Thread(target=_take_over, args=(bound,), daemon=True).start()


def _take_over(bound: socket.socket) -> None:
    """Once the worker listens, have every new connection come to it, not to what has listened so far."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, _LAST))
    with suppress(OSError):  # the arbiter has ended
        while not bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            time.sleep(_LOOK_SECONDS)
        bound.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("HP", 1, ctypes.addressof(program)))
