"""A model server in a container of our image: locked down, on loopback alone, brought back by the engine.

It sees the server's folder, at the same path and read-only, and nothing else of this machine. The engine's
restart policy stands in for our supervisor: it needs no process, and works after a reboot, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stacks.components.mlserver.folder import PROGRAM, ServerFolder, write_json, write_secret
from stacks.components.mlserver.ports import HOST, LET_GO_SECONDS, PORTS, choose_ports
from stacks.components.mlserver.server_runner import server_settings, wait_until_live
from stacks.components.mlserver.settings import ServerSettings
from stacks.components.mlserver.supervisor_handle import (
    end_supervisor,
    read_supervision,
    write_settings,
)
from stacks.container_engine import container_engine, find_image
from stacks.errors import StackError

if TYPE_CHECKING:
    from docker.models.containers import Container

_INSIDE = {"http_port": 8085, "grpc_port": 8086, "metrics_port": 8087}
_EVERYWHERE = "0.0.0.0"  # of the container, whose ports are published on loopback
_STANDARD_ERROR = {"class": "logging.StreamHandler"}
_LIVING = ("running", "restarting", "paused")
_PIDS = 256


@dataclass(frozen=True)
class ContainerRuntime:
    """An image by its id, and the memory that a container of it may take."""

    image: str
    memory: str

    code = ""  # it is in the image

    def is_there(self, folder: ServerFolder) -> bool:
        """Whether the engine still has the image."""
        try:
            with container_engine() as engine:
                find_image(engine, self.image)
            return True
        except StackError:
            return False

    def start(
        self, folder: ServerFolder, ports: Mapping[str, int], timeout: float, home: ServerFolder
    ) -> ContainerServer:
        """Start a container; one that was left of this folder goes."""
        _end(_name_of(folder), 0)  # it would have the ports
        chosen = choose_ports(ports, LET_GO_SECONDS)
        server = ContainerServer(_name_of(folder), **chosen, image=self.image, memory=self.memory)
        _write_settings(folder, load_at_start=False)
        write_secret(folder.token, secrets.token_urlsafe(32))
        with folder.recorded(asdict(server)), container_engine() as engine:
            try:
                container = engine.containers.run(**self._options(server, folder, home))
                wait_until_live(
                    server.http_port,
                    timeout,
                    lambda: _exit_code(container),
                    lambda: container.logs(tail=15).decode(errors="replace"),
                    f"docker logs {server.container}",
                )
            except BaseException:
                server.end(1)
                raise
        return server

    def _options(self, server: ContainerServer, folder: ServerFolder, home: ServerFolder) -> dict[str, Any]:
        from docker.types import LogConfig

        inside = (f"{_INSIDE[name]}/tcp" for name in PORTS)
        return {
            "image": self.image,
            "command": ["python", "-m", PROGRAM, str(folder.models), str(folder.token)],
            "name": server.container,
            "detach": True,
            "user": f"{os.getuid()}:{os.getgid()}",  # whose files they are
            "volumes": {str(home.root): {"bind": str(home.root), "mode": "ro"}},
            "ports": {port: (HOST, server.ports[name]) for port, name in zip(inside, PORTS, strict=True)},
            "read_only": True,
            "tmpfs": {"/tmp": ""},
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": self.memory,
            "memswap_limit": self.memory,
            "pids_limit": _PIDS,
            "log_config": LogConfig(type="json-file", config={"max-size": "1m", "max-file": "3"}),
        }


@dataclass(frozen=True)
class ContainerServer:
    """A container by its name, the ports it is published on, and what it runs on: see ContainerRuntime."""

    container: str
    http_port: int
    grpc_port: int
    metrics_port: int
    image: str
    memory: str

    def __str__(self) -> str:
        return f"container {self.container}"

    @property
    def runtime(self) -> ContainerRuntime:
        """What it runs on."""
        return ContainerRuntime(self.image, self.memory)

    @property
    def ports(self) -> dict[str, int]:
        """The ports of this machine by the names of their settings."""
        return {name: getattr(self, name) for name in PORTS}

    def is_alive(self) -> bool:
        """Whether the engine runs it, or is about to; not if the engine does not answer."""
        try:
            with self.opened() as container:
                return container is not None and container.status in _LIVING
        except StackError:
            return False

    def end(self, timeout: float) -> None:
        """End and remove the container. Raises StackError if the engine does not answer."""
        _end(self.container, timeout)

    def opened(self) -> AbstractContextManager[Container | None]:
        """Find the container, None if it is gone. Raises StackError if the engine does not answer."""
        return _container(self.container)


def read_container(folder: ServerFolder) -> ContainerServer | None:
    """Return the container last started for a folder, alive or not; None if its models were all stopped."""
    try:
        server = ContainerServer(**json.loads(folder.state.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return server if server.container == _name_of(folder) else None  # not that of a folder it was copied from


class InContainer:
    """The server in a container of the image that the settings name."""

    def __init__(self, settings: ServerSettings, folder: ServerFolder) -> None:
        self._settings, self._folder = settings, folder

    def wanted(self) -> ContainerRuntime:
        """Find the image as the engine has it now."""
        with container_engine() as engine:
            return ContainerRuntime(str(find_image(engine, self._settings.image).id), self._settings.memory)

    def supervise(self) -> None:
        """Have the engine bring the container back, and the server load then what it should serve."""
        write_settings(self._folder, self._settings)  # a service of the system would heed older ones
        left = read_supervision(self._folder)
        if left is not None and not left.stays:  # of a process that served from this folder
            end_supervisor(left)
        server = read_container(self._folder)
        if server is None or self._settings.restarts == 0:
            return
        _write_settings(self._folder, load_at_start=True)
        with server.opened() as container:
            if container is not None:
                container.update(restart_policy={"Name": "unless-stopped"})

    def supervision(self) -> str:
        """Tell what the engine says."""
        server = read_container(self._folder)
        if server is None:
            return "it has no container: python run.py --pipeline deploy"
        try:
            with server.opened() as container:
                return _in_words(server, container)
        except StackError as error:
            return str(error)

    def let_go(self) -> None:
        """Do nothing: the container is gone, and with it its restart policy."""

    def lines(self) -> Iterator[str]:
        """Yield what the engine has kept of it."""
        server = read_container(self._folder)
        if server is None:
            return
        with server.opened() as container:
            output = b"" if container is None else container.logs()
        yield from output.decode(errors="replace").splitlines()

    def how_to_follow(self) -> str:
        """Return the engine's command, which keeps the log."""
        return f"docker logs --follow {_name_of(self._folder)}"


def _in_words(server: ContainerServer, container: Container | None) -> str:
    if container is None:
        return f"{server} is gone: python run.py --pipeline deploy"
    times = container.attrs["RestartCount"]
    back = f"; brought back {times} times" if times else ""
    if container.status not in _LIVING:
        return f"{server} was stopped{back}: python run.py --pipeline deploy"
    policy = container.attrs["HostConfig"]["RestartPolicy"]["Name"]
    keeper = "nobody" if policy in ("", "no") else "the container engine"
    return f"{keeper} brings {server} back{back}"


@contextmanager
def _container(name: str) -> Iterator[Container | None]:
    from docker.errors import NotFound

    with container_engine() as engine:
        try:
            container = engine.containers.get(name)
        except NotFound:
            container = None
        yield container


def _end(name: str, timeout: float) -> None:
    with _container(name) as container:
        if container is not None:
            container.stop(timeout=round(timeout))
            container.remove(force=True, v=True)


def _name_of(folder: ServerFolder) -> str:
    """One name a folder, so that a container which nobody wrote down is found."""
    return f"accidents-model-server-{hashlib.sha256(str(folder.root).encode()).hexdigest()[:10]}"


def _write_settings(folder: ServerFolder, load_at_start: bool) -> None:
    settings = server_settings(_INSIDE, _EVERYWHERE, _STANDARD_ERROR, load_at_start)
    write_json(folder.models / "settings.json", settings)


def _exit_code(container: Container) -> int | None:
    container.reload()
    return None if container.status in ("created", "running") else int(container.attrs["State"]["ExitCode"])
