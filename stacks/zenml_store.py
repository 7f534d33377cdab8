"""ZenML's store: opened by one process at a time, and what is asked of it about stacks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from stacks.environment import store_folder
from stacks.errors import StackError

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.models import ComponentResponse, StackResponse

LOCK_SECONDS = 120


@contextmanager
def opened_store() -> Iterator[Client]:
    """Have the store for one process at a time: ZenML creates its database at first use, unguarded.

    Raises
    ------
    StackError
        If the store cannot be written or reached, or another process has it for long.
    """
    folder = store_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "apply.lock", timeout=LOCK_SECONDS)
        lock.acquire()
    except Timeout:
        raise StackError(
            f"Another process has been applying a stack in {folder} for over {LOCK_SECONDS} s. "
            "Try again when it is done."
        ) from None
    except OSError as error:
        raise StackError(
            f"ZenML's store {folder} cannot be written: {error.strerror}. "
            "Make the folder writable, or set ZENML_CONFIG_PATH to one that is."
        ) from error
    try:
        yield _client()
    finally:
        lock.release()


def _client() -> Client:
    """ZenML's client, once its store is open; a server that cannot be used is a StackError."""
    from zenml.client import Client
    from zenml.config.global_config import GlobalConfiguration

    url = str(GlobalConfiguration().store_configuration.url)
    try:
        Client().zen_store  # noqa: B018  (a property that connects)
    except Exception as error:
        if url.startswith("sqlite:"):
            raise  # commands/remedies.py knows what to do about a damaged file
        message = str(error).splitlines()[0]
        silent = message.startswith("Error connecting") or "timed out" in message
        what = "does not answer" if silent else f"refuses: {message}"
        raise StackError(
            f"ZenML's server {url} {what}. Does it run, and is the key right? "
            "ZENML_STORE_URL and ZENML_STORE_API_KEY say which server, and who asks."
        ) from error
    return Client()


def is_embedded(client: Client) -> bool:
    """Whether the store is a file of this machine, which nobody else's stacks are in."""
    return str(client.zen_store.url).startswith("sqlite:")


def find_stack(client: Client, name: str) -> StackResponse | None:
    """Return the stack of this name, with its components and labels."""
    stacks = client.list_stacks(name=name, hydrate=True).items
    return stacks[0] if stacks else None


def find_components(
    client: Client, names: Iterable[str]
) -> dict[tuple[StackComponentType, str], ComponentResponse]:
    """Return components of these names, with their configurations, by kind and name: one question for all."""
    among = f"oneof:{json.dumps(sorted(set(names)))}"
    components = client.list_stack_components(name=among, hydrate=True, size=1_000).items
    return {(component.type, component.name): component for component in components}
