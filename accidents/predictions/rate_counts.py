"""What callers use up in a minute, counted for all APIs of a PostgreSQL store.

An API takes a slice of what a caller may have, and spends it by itself: so a request hardly ever waits for
the database, and never more is spent than there is. What is left of a slice when its minute ends is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from accidents.predictions.database import PredictionDatabase
from accidents.predictions.database_tables import RATE_COUNTS

_CLOCK = select(func.extract("epoch", func.clock_timestamp()))
_KEPT = 2  # minutes: this one and that before, which counts as far as it reaches into the last sixty seconds
_FORGET_EVERY = 100  # slices


@dataclass(frozen=True)
class Slice:
    """What was taken; 0: nothing was left. `seconds`: until the minute ends by the database's clock."""

    amount: int
    seconds: float


class RateCounts:
    """The counts of a store.

    Every method raises PredictionLogError when the database is gone, full, locked, or of another version.
    """

    def __init__(self, database: PredictionDatabase) -> None:
        self._database, self._taken = database, 0

    def take(self, name: str, least: int, wanted: int, most: int) -> Slice:
        """Take up to `wanted` of the `most` that `name` may use up in sixty seconds, `least` or nothing.

        As many of the minute before count as its part in the last sixty seconds, as if they had come evenly.
        """
        self._taken += 1
        forget = self._taken % _FORGET_EVERY == 0

        def work(connection: Connection) -> Slice:
            # What is lost with the server is a minute's counts: no flush is waited for.
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            now = float(connection.execute(_CLOCK).scalar_one())
            minute, seconds = int(now // 60), 60 - now % 60
            if forget:
                connection.execute(delete(RATE_COUNTS).where(RATE_COUNTS.c.minute <= minute - _KEPT))
            spent, before = self._spent(connection, name, minute)
            left = int(most - spent - before * seconds / 60)
            amount = min(wanted, left) if left >= least else 0
            if amount:
                this = (RATE_COUNTS.c.name == name, RATE_COUNTS.c.minute == minute)
                connection.execute(update(RATE_COUNTS).where(*this).values(spent=spent + amount))
            return Slice(amount, seconds)

        return self._database.run(work, write=True)

    def _spent(self, connection: Connection, name: str, minute: int) -> tuple[int, int]:
        """Return what was taken in a minute, whose row is ours until the commit, and in that before."""
        row = {"name": name, "minute": minute, "spent": 0}
        connection.execute(insert(RATE_COUNTS).values(row).on_conflict_do_nothing())
        of_name = select(RATE_COUNTS.c.spent).where(RATE_COUNTS.c.name == name)
        spent = connection.execute(of_name.where(RATE_COUNTS.c.minute == minute).with_for_update())
        before = connection.execute(of_name.where(RATE_COUNTS.c.minute == minute - 1))
        return int(spent.scalar_one()), int(before.scalar() or 0)
