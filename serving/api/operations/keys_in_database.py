"""Keys in the database, for APIs that share nothing else; and which of both places the settings name."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from accidents.predictions.database_tables import PredictionLogError
from accidents.predictions.key_rows import KeyRows
from accidents.predictions.store import PredictionStore
from serving.api.operations.keys import KeyRing, Keys, KeysError
from serving.api.settings import ApiSettings

_LOG = logging.getLogger(__name__)
EVERY = 1.0  # seconds from one reading to the next: as long may a revoked key open what it did
_TRUSTED = 10.0  # seconds that what was read is believed, where nothing newer can be read


class StoredKeys(KeyRing):
    """Keys in a store.

    Parameters
    ----------
    rows : of the store.
    watched : `refresh` is called every second by who asks, for whom a database is too slow; else every
        question is one to the database.
    """

    def __init__(self, rows: KeyRows, watched: bool) -> None:
        super().__init__()
        self._rows, self._watched = rows, watched
        self._any, self._read = False, float("-inf")

    def refresh(self) -> None:
        """Read them. Raises KeysError."""
        try:
            keys, ever = self._rows.read()
            self._know((key.name, key.sha256, key.scopes) for key in keys)
        except PredictionLogError as error:
            raise KeysError(f"The keys cannot be read: {error}") from None
        except (ValueError, TypeError) as error:
            raise KeysError(
                f"The keys in {self._rows.place} are damaged ({error}). Restore them from a backup."
            ) from None
        self._any, self._read = ever, time.monotonic()

    def any(self) -> bool:
        """Whether there was a key."""
        self._refresh()
        return self._any

    def revoke(self, name: str) -> None:
        """Make a key invalid, in a running API within a second."""
        try:
            revoked = self._rows.revoke(name)
        except PredictionLogError as error:
            raise KeysError(f"The keys cannot be changed: {error}") from None
        self.refresh()
        if not revoked:
            names = ", ".join(self._known) or "none"
            raise KeysError(f"There is no key named {name!r:.100} in {self._rows.place}. There are: {names}.")

    def take_over(self, entries: Iterable[tuple[str, str, Collection[str]]]) -> list[str]:
        """Add keys that are kept elsewhere, as they are; the names of those that never were here."""
        return [entry[0] for entry in entries if self._kept(*entry, again=False)]

    def _add(self, name: str, sha256: str, scopes: Collection[str]) -> None:
        if not self._kept(name, sha256, scopes):
            raise KeysError(
                f"There is a key named {name!r} in {self._rows.place}: revoke it, or take another name."
            )
        self.refresh()

    def _kept(self, name: str, sha256: str, scopes: Collection[str], again: bool = True) -> bool:
        try:
            return self._rows.add(name, sha256, scopes, again)
        except PredictionLogError as error:
            raise KeysError(f"The keys cannot be changed: {error}") from None

    def _refresh(self) -> None:
        if not self._watched:
            self.refresh()
        elif time.monotonic() - self._read > _TRUSTED:
            raise KeysError(f"The keys in {self._rows.place} were not read for {_TRUSTED:g} s.")


def keys_for(
    settings: ApiSettings,
    store: PredictionStore,
    hook: bool = False,
    folder: Path = Path(),
    watched: bool = False,
) -> KeyRing:
    """Return the keys that the settings name; `hook`: those that start the loop; `folder`: the project's."""
    if settings.keys_in == "database":
        return StoredKeys(store.keys(hook), watched)
    return Keys(folder / (settings.hook_keys_file if hook else settings.keys_file))


async def watch_keys(rings: Collection[KeyRing]) -> None:
    """Read those in the database again and again, until cancelled."""
    stored = [ring for ring in rings if isinstance(ring, StoredKeys)]
    failed = False
    while stored:
        await asyncio.sleep(EVERY)
        try:
            for ring in stored:
                await asyncio.to_thread(ring.refresh)
            failed = False
        except KeysError as error:
            if not failed:
                _LOG.error("%s", error)
            failed = True


async def read_keys(rings: Collection[KeyRing]) -> None:
    """Read those in the database for the first time. Raises KeysError."""
    for ring in rings:
        if isinstance(ring, StoredKeys):
            await asyncio.to_thread(ring.refresh)
