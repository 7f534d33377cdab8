"""The ways to run a model server: chosen by the settings, told apart by what a folder says of it."""

from __future__ import annotations

from stacks.components.mlserver.folder import ServerFolder
from stacks.components.mlserver.server_container import InContainer, read_container
from stacks.components.mlserver.server_process import AsProcess, read_daemon
from stacks.components.mlserver.server_runner import RunningServer, Way
from stacks.components.mlserver.settings import ServerSettings


def way_of(settings: ServerSettings, folder: ServerFolder) -> Way:
    """In a container where the settings name an image, else as a process."""
    return InContainer(settings, folder) if settings.image else AsProcess(settings, folder)


def last_server(folder: ServerFolder) -> RunningServer | None:
    """Return the server last started in a folder, alive or not; None if its models were all stopped."""
    return read_daemon(folder) or read_container(folder)
