"""One at a time among all that use a shared ZenML server: who has made a certain tag has its turn.

The server has no locks; but its database holds a tag of a name once only, whoever asks in the same moment.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from zenml.client import Client
    from zenml.models import TagResponse

TAG = "registering-or-promoting"
# Seconds after which a turn that was killed is over; longer than it takes to upload a model. They are counted
# by who waits, from when it first sees the turn: the clocks of machines and of the server's database differ.
LONGEST = 600.0
_PAUSE = 0.5  # seconds between looks


@contextmanager
def turn() -> Iterator[None]:
    """Wait for one's turn and have it; at once where the store is this machine's alone."""
    from zenml.client import Client

    client = Client()
    if not _is_shared(client):
        yield
        return
    mine = _taken(client)
    try:
        yield
    finally:
        with suppress(KeyError):  # it took too long, and another has taken it for dead
            client.zen_store.delete_tag(mine.id)


def _is_shared(client: Client) -> bool:
    return not str(client.zen_store.url).startswith("sqlite:")


def _taken(client: Client) -> TagResponse:
    from zenml.exceptions import EntityExistsError

    seen: dict[UUID, float] = {}  # turns of others, and when they were seen first
    while True:
        with suppress(EntityExistsError):
            return client.create_tag(TAG)
        if not seen:
            print("  waiting for another who registers or promotes ...", file=sys.stderr, flush=True)
        _end_if_dead(client, seen)
        time.sleep(_PAUSE)


def _end_if_dead(client: Client, seen: dict[UUID, float]) -> None:
    for other in client.list_tags(name=TAG).items:
        if time.monotonic() - seen.setdefault(other.id, time.monotonic()) > LONGEST:
            with suppress(KeyError):  # somebody else has
                client.zen_store.delete_tag(other.id)  # by its id: a new turn has another
