"""Keys of the API as rows: which hashes open it, for all APIs of a store. How they are made is the API's."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, or_, select, update

from accidents.predictions.database import PredictionDatabase
from accidents.predictions.database_tables import API_KEYS
from accidents.predictions.insert_statements import insert_into


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key that is valid; `sha256` as hexadecimal digits."""

    name: str
    sha256: str
    scopes: tuple[str, ...]


class KeyRows:
    """The keys of a store.

    Every method raises PredictionLogError when the database is gone, full, locked, or of another version.

    Parameters
    ----------
    hook : those that start the loop, which are apart from those for predictions.
    """

    def __init__(self, database: PredictionDatabase, hook: bool) -> None:
        self._database, self._hook = database, hook
        self.place = f"{database.place}, table {API_KEYS.name}"

    def read(self) -> tuple[list[KeyRow], bool]:
        """Return the valid keys in the order they were made, and whether there ever was one."""
        query = select(API_KEYS).where(API_KEYS.c.hook == self._hook)
        rows = self._database.run(
            lambda connection: connection.execute(query.order_by(API_KEYS.c.created, API_KEYS.c.name)).all(),
            write=False,
        )
        valid = [
            KeyRow(row.name, row.sha256, tuple(json.loads(row.scopes))) for row in rows if not row.revoked
        ]
        return valid, bool(rows)

    def add(self, name: str, sha256: str, scopes: Collection[str], again: bool = True) -> bool:
        """Add a key; False where a valid one has the name, or, unless it may be used `again`, any one had."""
        mine = (API_KEYS.c.hook == self._hook, API_KEYS.c.name == name)
        row = {
            "hook": self._hook, "name": name, "sha256": sha256, "created": datetime.now(UTC),
            "scopes": json.dumps(list(scopes)), "revoked": None,
        }  # fmt: skip

        def work(connection: Connection) -> bool:
            existing = connection.execute(select(API_KEYS).where(*mine).with_for_update()).one_or_none()
            if existing is not None and not again:
                return False
            if existing is not None and existing.revoked is None:
                return bool(existing.sha256 == sha256)  # ours, whose commit was told to nobody
            if existing is None:  # unless somebody else adds one of this name meanwhile
                return connection.execute(insert_into(API_KEYS), row).rowcount == 1
            connection.execute(update(API_KEYS).where(*mine).values(row))
            return True

        return self._database.run(work, write=True)

    def revoke(self, name: str) -> bool:
        """Make a key invalid; False where there is no valid one of this name."""
        now = datetime.now(UTC)
        ours = API_KEYS.c.revoked == now  # and the commit was told to nobody
        change = update(API_KEYS).where(
            API_KEYS.c.hook == self._hook, API_KEYS.c.name == name, or_(API_KEYS.c.revoked.is_(None), ours)
        )
        return self._database.run(
            lambda connection: connection.execute(change.values(revoked=now)).rowcount == 1, write=True
        )
