"""The database of the prediction log: how it is opened, its transactions, and its errors in words.

SQLite is opened in WAL mode with synchronous=FULL: every commit is flushed to the disk, so neither kill -9
nor a power loss takes a committed row (as far as the disk keeps its promise). NORMAL would survive kill -9
just as well and lose the last commits with the power; the flush costs 0.2 ms of a commit on an SSD, and one
commit carries everything that waits (serving/api/predicting/log_writer.py), so there is little to win.
PostgreSQL promises the same by itself (fsync and synchronous_commit are on unless someone turned them off).
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import Pool

from accidents.predictions import months
from accidents.predictions.database_tables import NoDatabaseError, OutdatedError, PredictionLogError
from accidents.predictions.engines import (
    PATIENCE,
    connect_to,
    file_of,
    in_short_tries,
    is_absent,
    parsed,
    postgres_engine,
    sqlite_engine,
    without_secrets,
)
from accidents.predictions.insert_statements import as_driver_takes, insert_into
from accidents.predictions.postgres_inserts import PostgresInserts
from accidents.predictions.schema_migration import BY_HAND, MADE_BY, require_current, upgrade
from accidents.predictions.sqlite_files import FilesBeside, Identity, identity_of

Result = TypeVar("Result")
UPGRADE_PATIENCE = 60  # seconds to wait for another process that makes or upgrades the tables
START_PATIENCE = 5  # seconds that a start waits for months, which can wait
CHANGE_PATIENCE = 0.3  # seconds to wait for a table that is to be moved: those who write wait behind us
LOGGER = logging.getLogger(__name__)

# What a database says, and what a person can do about it.
REMEDIES = {
    "disk is full": "Free some space; it goes on by itself.",
    "no space left": "Free some space on the server; it goes on by itself.",
    "disk i/o error": "Look at the disk: it may be full, gone or failing. It goes on by itself.",
    "is locked": "Another program holds it locked: end that program, or wait for it.",
    "lock timeout": "Another program holds it locked: end that program, or wait for it.",
    "unable to open": "Put the file back, or start the API anew to begin an empty log.",
    "readonly": "Give the account that runs this the right to write the file and its folder.",
    "not a database": "Move the file away (and restore it from a backup), then start the API anew.",
    "malformed": "Move the file away (and restore it from a backup), then start the API anew.",
    "password authentication": "Correct the user or password in the address.",
    "connection": "Is the server running, and the address right?",
}


class PredictionDatabase:
    """Transactions on the tables. Opens nothing until the first one. Safe to share among threads."""

    def __init__(self, address: str) -> None:
        """`address` is sqlite:///FILE (relative: to the project's folder) or postgresql://USER:PASSWORD@HOST/DB."""
        url = parsed(address)
        self.file = file_of(url) if url.get_backend_name() == "sqlite" else None
        self.place = str(self.file) if self.file else without_secrets(url)
        self._password = str(url.password or "")
        self._beside: FilesBeside | None = None
        self._kept: tuple[Pool, Connection] | None = None
        self._lock = threading.Lock()
        # SQLite has one writer at a time. Threads of ours queue here: its own waiting is a guess at when to
        # look again, and somebody who writes much would keep the others out.
        self._writing: AbstractContextManager[Any] = threading.Lock() if self.file else nullcontext()
        if self.file:
            connect = connect_to(self.file)
            self._engine, self._beside = sqlite_engine(self.file, connect), FilesBeside(self.file, connect)
        else:
            self._engine = postgres_engine(url)
        # Each table's by itself: no prediction waits for a shadow's scores.
        self._postgres_inserts = {
            table: PostgresInserts(self._engine, self._require_current) for table in months.TABLES_BY_MONTH
        }

    def create(self, upgrades: bool = True) -> None:
        """Make folder, file and tables where they are missing, and bring older tables up to date.

        The database of PostgreSQL must exist. Of several that do this at once, one does it.

        Parameters
        ----------
        upgrades
            Whether older tables are brought up to date; else they are an OutdatedError.

        Raises
        ------
        PredictionLogError : it cannot be made, or is there in a version that cannot be brought up to date.
        """
        if self.file:
            self._create_file(self.file)
        try:
            self.check()
        except (NoDatabaseError, OutdatedError) as error:
            if isinstance(error, OutdatedError) and not upgrades:
                older = f"The prediction log {self.place} is older than this program."
                raise OutdatedError(older, BY_HAND) from None
            with self._explained(), self._upgrading() as connection:
                upgrade(connection, self.place)
            self.check()
        try:
            self.make_months(START_PATIENCE)
        except PredictionLogError as error:  # no reason not to start: what finds no month is kept, too
            LOGGER.warning("The months of the prediction log were not made: %s", error)

    @property
    def by_month(self) -> bool:
        """Whether what grows is partitioned by month."""
        return self.file is None

    def change(self, work: Callable[[Connection], Result], patience: float = UPGRADE_PATIENCE) -> Result:
        """Do `work`, which moves or drops tables, in one transaction while nobody else changes them.

        A lock that it does not get soon is asked for again, so that those who write wait no longer than that.

        Raises
        ------
        PredictionLogError : it has not got it in `patience` seconds.
        """

        def once() -> Result:
            with self._upgrading(CHANGE_PATIENCE, patience) as connection:
                return work(connection)

        with self._explained():
            return in_short_tries(once, patience)

    def make_months(self, patience: float = UPGRADE_PATIENCE) -> None:
        """In PostgreSQL make the months that are about to begin, as far as they are missing.

        Raises
        ------
        PredictionLogError : somebody reads so long that a table cannot be changed now. Nothing is lost: the
            months are made ahead, and what finds none is kept.
        """
        now = datetime.now(UTC)
        if self.by_month and self.run(lambda connection: months.missing(connection, now), write=False):
            self.change(lambda connection: months.make_missing(connection, now), patience)

    def run(self, work: Callable[[Connection], Result], *, write: bool) -> Result:
        """Do `work` in one transaction, and return what it returns.

        It is called twice if the connection was lost: a server that was restarted is not an error, so `work`
        must bear being repeated after a commit.

        Raises
        ------
        PredictionLogError : the database is gone, full, locked, or no prediction log of this version.
        """
        return self._run(lambda connection: self._checked(connection, work), write=write)

    def insert(self, *parts: tuple[Table, Sequence[Mapping[str, Any]]]) -> None:
        """Commit all rows, or none; in PostgreSQL those of each table by themselves. Raises as `run` does.

        A row whose key is there already is left as it is.
        """
        with self._explained():
            if self.file is None:
                for table, rows in parts:
                    self._postgres_inserts[table.name].insert(table, rows)
            else:
                self._insert(parts)

    def check(self) -> None:
        """Raise PredictionLogError unless the database answers, and is of our version.

        Where there is none it is a NoDatabaseError.
        """
        self._run(self._require_current, write=False)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection in one reading transaction, to stream from: its queries see the same rows."""
        self.check()  # drops connections that a restarted server left behind
        options = {"isolation_level": "REPEATABLE READ"} if self.by_month else {}
        with self._explained(), self._begin(write=False, **options) as connection:
            if self.by_month:  # before it is said which rows: of a month made anew later none would be seen
                tables = ", ".join(months.TABLES_BY_MONTH)
                connection.execute(text(f"LOCK TABLE {tables} IN ACCESS SHARE MODE"))
            yield connection

    def close(self) -> None:
        """Give back all connections."""
        if self._beside:
            self._beside.close()
        self._kept = None
        for inserts in self._postgres_inserts.values():
            inserts.close()
        self._engine.dispose()

    def _settle(self) -> None:
        """Before a transaction, and after its commit: where others removed what holds it, make it safe."""
        if self._beside is None:
            return
        with self._lock:
            if not self._beside.intact():
                self._beside.save()
                self._engine.dispose()  # whoever is connected still has open what is gone

    def _run(self, work: Callable[[Connection], Result], *, write: bool) -> Result:
        with self._explained():
            try:
                return self._once(work, write)
            except (DBAPIError, sqlite3.Error) as error:
                if is_absent(self.file):
                    raise self._none() from None
                if not (isinstance(error, DBAPIError) and error.connection_invalidated):
                    raise
                return self._once(work, write)

    def _once(self, work: Callable[[Connection], Result], write: bool) -> Result:
        with self._writing if write else nullcontext(), self._begin(write) as connection:
            opened = connection.info.get("file")
            result = work(connection)
        self._require_file(opened)
        self._settle()
        return result

    def _insert(self, parts: Sequence[tuple[Table, Sequence[Mapping[str, Any]]]]) -> None:
        """Commit through SQLite's driver: every prediction waits for this.

        SQLAlchemy's own layers over a transaction of one row take thrice as much of the processor.
        """
        given = [
            (insert_into(table).text, as_driver_takes(table, rows, self._engine.dialect))
            for table, rows in parts
        ]
        self._settle()
        with self._writing:
            connection = self._kept_open()
            driver: Any = connection.connection.driver_connection
            with driver:  # commits, or rolls back
                driver.execute("BEGIN IMMEDIATE")
                for statement, values in given:
                    driver.executemany(statement, values)
        self._require_file(connection.info["file"])
        self._settle()

    def _kept_open(self) -> Connection:
        """Return the inserts' connection: one from the pool, given back, takes as long as a row."""
        pool = self._engine.pool  # another one once `dispose` was called
        if self._kept is None or self._kept[0] is not pool or self._kept[1].info["file"] != self._identity():
            self._kept = None  # goes back to its pool
            self.check()
            self._kept = pool, self._engine.connect()
        return self._kept[1]

    def _identity(self) -> Identity:
        return identity_of(self.file) if self.file else None

    def _require_file(self, opened: Identity) -> None:
        # If it was deleted meanwhile, the commit went into a file without a name.
        if opened != self._identity():
            raise PredictionLogError(f"The prediction log {self.place} is gone.", REMEDIES["unable to open"])

    @contextmanager
    def _begin(self, write: bool, **options: str) -> Iterator[Connection]:
        self._settle()
        begin = "IMMEDIATE" if write else "DEFERRED"
        with self._engine.connect() as connection:
            connection = connection.execution_options(sqlite_begin=begin, **options)
            with connection.begin():
                yield connection

    def _checked(self, connection: Connection, work: Callable[[Connection], Result]) -> Result:
        if not connection.info.get("version"):
            self._require_current(connection)
            connection.info["version"] = True
        return work(connection)

    def _require_current(self, connection: Connection) -> None:
        require_current(connection, self.place)

    @contextmanager
    def _upgrading(self, patience: float = PATIENCE, turn: float = UPGRADE_PATIENCE) -> Iterator[Connection]:
        """Yield a writing transaction that waits for another's upgrade, so long; `patience`: for tables."""
        if self.file is None:
            with self._engine.begin() as connection:
                connection.execute(text(f"SET LOCAL lock_timeout = '{int(turn * 1000)}ms'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('accidents.prediction_log'))"))
                # Not so for the tables' own locks: whoever waits for them keeps all others waiting.
                connection.execute(text(f"SET LOCAL lock_timeout = '{int(patience * 1000)}ms'"))
                yield connection
            return
        self._settle()
        engine = sqlite_engine(self.file, connect_to(self.file, UPGRADE_PATIENCE))
        try:
            with self._writing, engine.connect() as connection:
                connection = connection.execution_options(sqlite_begin="IMMEDIATE")
                with connection.begin():
                    yield connection
        finally:
            engine.dispose()

    def _create_file(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise PredictionLogError(
                f"The prediction log {file} cannot be made: {error.strerror}. "
                "Correct the address, or the rights of its folder."
            ) from None
        with self._explained(), self._engine.connect() as connection:
            connection.execution_options(sqlite_begin=None).exec_driver_sql("PRAGMA journal_mode=WAL")

    def _none(self) -> NoDatabaseError:
        return NoDatabaseError(
            f"There is no prediction log at {self.place}.",
            f"Put the file back, correct the address, or begin an empty one: {MADE_BY}.",
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as error:
            # `from None`: what SQLAlchemy chains may hold the address with its password.
            raise PredictionLogError(*self._words(error)) from None

    def _else(self) -> str:
        """Return what to do about trouble that none of `REMEDIES` is for."""
        if self.file is None:
            return "See the log of the database server."
        return "Restore it from a backup, or move it away and start the API anew."

    def _words(self, error: Exception) -> tuple[str, str]:
        """Return what is wrong, and what to do."""
        message = str(getattr(error, "orig", None) or error).strip().replace("\n", " ")
        if self._password:
            message = message.replace(self._password, "***")
        remedy = next((cure for sign, cure in REMEDIES.items() if sign in message.lower()), self._else())
        return f"The prediction log {self.place} cannot be used: {message.rstrip('.')}.", remedy
