"""Leases: one process at a time, of all that share a database.

A row says who holds it and until when, by the database's clock; a thread renews it while the holder works.
Whoever was killed, or is cut off, loses it when that time is over, and the next one takes it. SQLite, which
is on one machine, needs no clock: there a lock on a file goes with its process.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self
from uuid import uuid4

from sqlalchemy import Connection, DateTime, Row, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from accidents.errors import AccidentsError, BusyError
from accidents.predictions.database import PredictionDatabase
from accidents.predictions.database_tables import LEASES, PredictionLogError

_NOW = func.clock_timestamp(type_=DateTime(timezone=True))  # not now(): the transaction may have waited since


class LeaseLostError(AccidentsError):
    """The lease ran out while its holder slept or was cut off: another process may hold it by now."""


class Lease(Protocol):
    """A lease that is held."""

    def require(self) -> None:
        """Renew it, before anything that another holder must not do too. Raises LeaseLostError."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease; times by the database's clock."""

    host: str
    pid: int
    acquired: datetime
    expires: datetime

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.acquired:%Y-%m-%d %H:%M:%S} UTC"


class DatabaseLease(AbstractContextManager[Lease]):
    """A row of `leases` in PostgreSQL. Holds it from entering to leaving."""

    def __init__(self, database: PredictionDatabase, name: str, seconds: float) -> None:
        self._database, self._name = database, name
        self._owner, self._length = uuid4().hex, timedelta(seconds=seconds)
        self._left = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"lease-{name}", daemon=True)

    def take(self) -> Holder | None:
        """Take it, without renewing it, where it is free; who holds it where it is not."""
        return self._database.run(self._take, write=True)

    def give_back(self) -> None:
        """Let others have it at once."""
        self._database.run(self._give_back, write=True)

    def __enter__(self) -> Self:
        if holder := self.take():
            raise BusyError(
                f"Another {self._name} runs ({holder}): one at a time. It will finish; if it was killed, its "
                f"lease in {self._database.place} runs out at {holder.expires:%H:%M:%S} UTC."
            )
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._heart.join()
        with suppress(PredictionLogError):  # else it runs out by itself
            self.give_back()

    def require(self) -> None:
        """Renew it, before anything that another holder must not do too.

        Raises
        ------
        LeaseLostError
            Another process has taken it.
        PredictionLogError
            The database does not answer, so that nobody knows.
        """
        if not self._database.run(self._renew, write=True):
            raise LeaseLostError(
                f"This {self._name} was out of touch with {self._database.place} for more than "
                f"{self._length.total_seconds():g} seconds, and another one has taken its place: it stops."
            )

    def _beat(self) -> None:
        """Renew it until it is left or lost. `require` tells what goes wrong, to those who act."""
        while not self._left.wait(self._length.total_seconds() / 3):
            try:
                if not self._database.run(self._renew, write=True):
                    return
            except PredictionLogError:
                continue

    def _take(self, connection: Connection) -> Holder | None:
        """Done again, after a connection that was lost, it does no more."""
        row = {"name": self._name, "owner": self._owner, "host": socket.gethostname(), "pid": os.getpid(),
               "acquired": _NOW, "expires": _NOW + self._length}  # fmt: skip
        new = insert(LEASES).values(row)
        free = (LEASES.c.expires <= _NOW) | (LEASES.c.owner == self._owner)
        changes = {name: new.excluded[name] for name in row if name != "name"}
        taken = new.on_conflict_do_update(index_elements=[LEASES.c.name], set_=changes, where=free)
        if connection.execute(taken.returning(literal(1))).first():
            return None
        return _holder(connection.execute(select(LEASES).where(LEASES.c.name == self._name)).one())

    def _renew(self, connection: Connection) -> bool:
        # Also one that has run out, if nobody has taken it since.
        held = LEASES.update().where(LEASES.c.name == self._name, LEASES.c.owner == self._owner)
        return connection.execute(held.values(expires=_NOW + self._length)).rowcount == 1

    def _give_back(self, connection: Connection) -> None:
        held = LEASES.update().where(LEASES.c.name == self._name, LEASES.c.owner == self._owner)
        connection.execute(held.values(expires=_NOW))


def holder_of(database: PredictionDatabase, name: str) -> Holder | None:
    """Who holds a lease now; None for nobody."""
    held = select(LEASES).where(LEASES.c.name == name, LEASES.c.expires > _NOW)
    row = database.run(lambda connection: connection.execute(held).one_or_none(), write=False)
    return None if row is None else _holder(row)


def _holder(row: Row[Any]) -> Holder:
    return Holder(row.host, row.pid, row.acquired, row.expires)


class FileLease(AbstractContextManager[Lease]):
    """A lock on a file of this machine. The system lets it go with the process, however that ends."""

    def __init__(self, file: Path, name: str) -> None:
        from filelock import FileLock  # not on the API's way, and not in its environment

        self._name, self._holder = name, file.with_suffix(".json")
        self._lock = FileLock(file, timeout=0)

    def __enter__(self) -> Self:
        from filelock import Timeout

        try:
            self._lock.acquire()
        except Timeout:
            raise BusyError(
                f"Another {self._name} runs ({self._holder_words()}): one at a time. It will finish."
            ) from None
        began = datetime.now(UTC).isoformat(timespec="seconds")
        self._holder.write_text(json.dumps({"pid": os.getpid(), "since": began}), encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def require(self) -> None:
        """Hold it: a lock of the system is not lost."""

    def _holder_words(self) -> str:
        try:
            holder = json.loads(self._holder.read_text(encoding="utf-8"))
            return f"process {holder['pid']}, since {holder['since']}"
        except (OSError, ValueError, KeyError):
            return "it has only just begun"
