"""One at a time among all that use a shared ZenML server: who has made a certain tag has its turn.

The server has no locks; but its database holds a tag of a name once only, whoever asks in the same moment.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.models import TagResponse

TAG = "registering-or-promoting"
# A turn that was killed is over after this; longer than it takes to upload a model.
LONGEST = timedelta(minutes=10)
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

    announced = False
    while True:
        with suppress(EntityExistsError):
            return client.create_tag(TAG)
        if not announced:
            print("  waiting for another who registers or promotes ...", file=sys.stderr, flush=True)
            announced = True
        _end_if_dead(client)
        time.sleep(_PAUSE)


def _end_if_dead(client: Client) -> None:
    for other in client.list_tags(name=TAG).items:
        began = other.created if other.created.tzinfo else other.created.replace(tzinfo=UTC)
        if datetime.now(UTC) - began > LONGEST:
            with suppress(KeyError):  # somebody else has
                client.zen_store.delete_tag(other.id)  # by its id: a new turn has another
