"""One address, one object: predictions and labels, the history of monitoring, leases, keys and rates.

with opened_store(address) as store:
store.log.read(last=10_000)
store.history.reports("dispatch")
with store.lease("loop", seconds=60) as lease: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from accidents.predictions.database import PredictionDatabase
from accidents.predictions.history import History
from accidents.predictions.key_rows import KeyRows
from accidents.predictions.leases import DatabaseLease, FileLease, Holder, Lease, holder_of
from accidents.predictions.prediction_log import PredictionLog
from accidents.predictions.rate_counts import RateCounts

VARIABLE = "ACCIDENTS_DATABASE_URL"  # holds the address, which may hold a password
LOOP, HOOK = "loop", "hook"  # leases: of who works on the champions, and of who may start that


class PredictionStore:
    """Everything in one database. Opens nothing until it is asked. Safe to share among threads."""

    def __init__(self, address: str) -> None:
        """`address` is sqlite:///FILE (relative: to the project's folder) or postgresql://USER:PASSWORD@HOST/DB.

        Raises
        ------
        PredictionLogError
            It is written wrongly.
        """
        self._database = PredictionDatabase(address)
        self.place = self._database.place
        self.log = PredictionLog(self._database)
        self.history = History(self._database)
        self.rates = RateCounts(self._database)

    def keys(self, hook: bool) -> KeyRows:
        """Return the API's keys; `hook`: those that start the loop, and do nothing else."""
        return KeyRows(self._database, hook)

    def make_months(self) -> None:
        """Make the months that are about to begin, where the log has months. Raises PredictionLogError."""
        self._database.make_months()

    @property
    def shared(self) -> bool:
        """Whether other machines may use it too."""
        return self._database.file is None

    def create(self, upgrades: bool = True) -> None:
        """Make the tables where there are none, and bring older ones up to date; what is there stays.

        Raises
        ------
        PredictionLogError
            It cannot be made; without `upgrades` an OutdatedError, where they are older.
        """
        self._database.create(upgrades)

    def check(self) -> None:
        """Raise PredictionLogError unless it is there, answers, and is of our version."""
        self._database.check()

    def lease(self, name: str, seconds: float) -> AbstractContextManager[Lease]:
        """Hold what only one process at a time may do: of all that use this database, or this file.

        Parameters
        ----------
        seconds
            How long it stays held after its holder was killed, or cut off. A lock of a file goes at once.

        Raises
        ------
        BusyError
            Naming who holds it.
        """
        if self._database.file is None:
            return DatabaseLease(self._database, name, seconds)
        return FileLease(self._database.file.with_name(f"{name}.lock"), name)

    def holder(self, name: str) -> Holder | None:
        """Who holds a lease now; None for nobody, and where it is a lock of a file, which tells nothing."""
        return None if self._database.file else holder_of(self._database, name)

    def claim(self, name: str, seconds: float) -> Callable[[], None] | None:
        """Take a lease for so long, whatever becomes of this process; None if another has it.

        Of a file of this machine there are no others: it is always had.

        Returns
        -------
        what gives it back early.
        """
        if self._database.file:
            return lambda: None
        lease = DatabaseLease(self._database, name, seconds)
        return None if lease.take() else lease.give_back

    def close(self) -> None:
        """Give back all connections."""
        self._database.close()


@contextmanager
def opened_store(address: str) -> Iterator[PredictionStore]:
    """Yield the store at an address. It is never made here: a wrong address would be an empty store.

    Raises
    ------
    PredictionLogError
        It is not there (then a NoDatabaseError), does not answer, or is of another version.
    """
    store = PredictionStore(address)
    try:
        store.check()
        yield store
    finally:
        store.close()
