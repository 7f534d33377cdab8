"""The ports of servers on this machine: loopback alone, and who has one that is taken."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

import psutil

from stacks.errors import StackError

HOST = "127.0.0.1"
PORTS = ("http_port", "grpc_port", "metrics_port")  # of a model server, by the names of their settings
LET_GO_SECONDS = 5.0  # a server that was killed may hold its ports a little longer
_OTHER_PORT = "set another {name} (0: any free one) for the model deployer in stacks/*.yaml"


def choose_ports(ports: Mapping[str, int], patience: float = 0, remedy: str = _OTHER_PORT) -> dict[str, int]:
    """Choose the ports to listen on; 0 is any free one.

    Raises StackError if one is taken, after `patience` seconds still: by whom, and what to set (`remedy`).
    """
    end = time.monotonic() + patience
    while True:
        try:
            return _choose_ports(ports, remedy)
        except StackError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)


def _choose_ports(ports: Mapping[str, int], remedy: str) -> dict[str, int]:
    sockets: dict[str, socket.socket] = {}
    try:
        for name, port in ports.items():
            sockets[name] = listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
                listener.listen()  # binding alone succeeds beside another that does not listen yet
            except OSError as error:
                raise StackError(
                    f"The model server cannot listen on port {port}: {_owner(port) or error.strerror}. "
                    f"Stop that, or {remedy.format(name=name)}."
                ) from None
        return {name: listener.getsockname()[1] for name, listener in sockets.items()}
    finally:
        for listener in sockets.values():
            listener.close()


def _owner(port: int) -> str:
    try:
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and getattr(each.laddr, "port", 0) == port and each.pid:
                command = " ".join(psutil.Process(each.pid).cmdline())[:120]
                return f"it is taken by process {each.pid} ({command})"
    except psutil.Error:
        pass  # not ours to see
    return ""
