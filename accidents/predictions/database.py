"""The database of the prediction log: how it is opened, its transactions, and its errors in words.

SQLite is opened in WAL mode with synchronous=FULL: every commit is flushed to the disk, so neither kill -9
nor a power loss takes a committed row (as far as the disk keeps its promise). NORMAL would survive kill -9
just as well and lose the last commits with the power; the flush costs 0.2 ms of a commit on an SSD, and one
commit carries everything that waits (serving/api/predicting/log_writer.py), so there is little to win.
PostgreSQL promises the same by itself (fsync and synchronous_commit are on unless someone turned them off).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from accidents.predictions.engines import (
    connect_to,
    file_of,
    is_absent,
    parsed,
    postgres_engine,
    sqlite_engine,
    without_secrets,
)
from accidents.predictions.inserts import as_driver_takes, insert_into
from accidents.predictions.sqlite_files import FilesBeside, identity_of
from accidents.predictions.tables import PREDICTION_LOG, NoDatabaseError, PredictionLogError, Schema

Result = TypeVar("Result")

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

    def __init__(self, address: str, schema: Schema = PREDICTION_LOG) -> None:
        """`address` is sqlite:///FILE (relative: to the project's folder) or postgresql://USER:PASSWORD@HOST/DB."""
        self._schema = schema
        url = parsed(address)
        self._file = file_of(url) if url.get_backend_name() == "sqlite" else None
        self.place = str(self._file) if self._file else without_secrets(url)
        self._password = str(url.password or "")
        self._beside: FilesBeside | None = None
        self._lock = threading.Lock()
        # SQLite has one writer at a time. Threads of ours queue here: its own waiting is a guess at when to
        # look again, and somebody who writes much would keep the others out.
        self._writing: AbstractContextManager[Any] = threading.Lock() if self._file else nullcontext()
        if self._file:
            connect = connect_to(self._file)
            self._engine, self._beside = sqlite_engine(self._file, connect), FilesBeside(self._file, connect)
        else:
            self._engine = postgres_engine(url)

    def create(self) -> None:
        """Make folder, file and tables where they are missing; the database of PostgreSQL must exist.

        Raises
        ------
        PredictionLogError : it cannot be made, or is there in a version that cannot be brought up to date.
        """
        if self._file:
            self._create_file(self._file)
        self._run(self._create_tables, write=True)

    def run(self, work: Callable[[Connection], Result], *, write: bool) -> Result:
        """Do `work` in one transaction, and return what it returns.

        It is called twice if the connection was lost: a server that was restarted is not an error, so `work`
        must bear being repeated after a commit.

        Raises
        ------
        PredictionLogError : the database is gone, full, locked, or no prediction log of this version.
        """
        return self._run(lambda connection: self._checked(connection, work), write=write)

    def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Commit all rows, or none; one whose key is there already is left as it is. Raises as `run` does."""
        if self._file is None:
            self.run(lambda connection: connection.execute(insert_into(table), rows), write=True)
            return
        with self._explained():
            self._insert(table, rows)

    def check(self) -> None:
        """Raise PredictionLogError unless the database answers, and is of our version.

        Where there is none it is a NoDatabaseError.
        """
        self._run(self._check_version, write=False)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in one reading transaction, to stream from."""
        self.check()  # drops connections that a restarted server left behind
        with self._explained(), self._begin(write=False) as connection:
            yield connection

    def close(self) -> None:
        """Give back all connections."""
        if self._beside:
            self._beside.close()
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
                if is_absent(self._file):
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

    def _insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Commit through SQLite's driver: every prediction waits for this.

        SQLAlchemy's own layers over a transaction of one row take thrice as much of the processor.
        """
        given = as_driver_takes(table, rows, self._engine.dialect)
        self._settle()
        with self._writing, self._engine.connect() as connection:
            opened = connection.info.get("file")
            self._checked(connection, lambda _: None)
            driver: Any = connection.connection.driver_connection
            with driver:  # commits, or rolls back
                driver.execute("BEGIN IMMEDIATE")
                driver.executemany(insert_into(table).text, given)
        self._require_file(opened)
        self._settle()

    def _require_file(self, opened: tuple[int, int] | None) -> None:
        # If it was deleted meanwhile, the commit went into a file without a name.
        if self._file and opened != identity_of(self._file):
            raise PredictionLogError(
                f"The {self._schema.what} {self.place} is gone. {REMEDIES['unable to open']}"
            )

    @contextmanager
    def _begin(self, write: bool) -> Iterator[Connection]:
        self._settle()
        with self._engine.connect() as connection:
            connection = connection.execution_options(sqlite_begin="IMMEDIATE" if write else "DEFERRED")
            with connection.begin():
                yield connection

    def _checked(self, connection: Connection, work: Callable[[Connection], Result]) -> Result:
        if not connection.info.get("version"):
            self._check_version(connection)
            connection.info["version"] = self._schema.version
        return work(connection)

    def _check_version(self, connection: Connection) -> None:
        names = set(inspect(connection).get_table_names())
        schema = self._schema
        missing = {table.name for table in schema.tables.sorted_tables} - names
        if missing:
            raise NoDatabaseError(
                f"{self.place} is not a {schema.what}: it has no table {', '.join(sorted(missing))}. "
                f"Correct the address, or {schema.made_by}, which makes the tables."
            )
        found = connection.scalar(select(schema.versions.c.version))
        if found != schema.version:
            older = found in schema.upgrades
            raise PredictionLogError(
                f"The {schema.what} {self.place} is of version {found}, "
                f"this program writes version {schema.version}. "
                + (f"To bring it up to date, {schema.made_by}." if older else
                   "Use the program that made it, or another file or database for this one.")
            )  # fmt: skip

    def _create_tables(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":  # two that start at once: one after the other
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('accidents.predictions.log'))"))
        schema = self._schema
        if not inspect(connection).has_table(schema.versions.name):
            for table in schema.tables.sorted_tables:
                if inspect(connection).has_table(table.name):
                    raise PredictionLogError(
                        f"{self.place} holds a table {table.name!r} that is not the {schema.what}'s. "
                        f"Give the {schema.what} a file or database of its own."
                    )
            schema.tables.create_all(connection, checkfirst=False)
            connection.execute(schema.versions.insert().values(version=schema.version))
        elif schema.mended:
            schema.tables.create_all(connection, checkfirst=True)
        self._upgrade(connection)
        self._check_version(connection)

    def _upgrade(self, connection: Connection) -> None:
        """Version after version, in the transaction: an upgrade is done whole or not at all."""
        schema = self._schema
        found = int(connection.scalar(select(schema.versions.c.version)) or 0)
        while found in schema.upgrades:
            schema.upgrades[found](connection)
            found += 1
            connection.execute(schema.versions.update().values(version=found))

    def _create_file(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise PredictionLogError(
                f"The {self._schema.what} {file} cannot be made: {error.strerror}. "
                "Correct the address, or the rights of its folder."
            ) from None
        with self._explained(), self._engine.connect() as connection:
            connection.execution_options(sqlite_begin=None).exec_driver_sql("PRAGMA journal_mode=WAL")

    def _none(self) -> NoDatabaseError:
        schema = self._schema
        return NoDatabaseError(
            f"There is no {schema.what} at {self.place}. Put the file back, correct the address, or "
            f"{schema.made_by}, which begins an empty one."
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            # `from None`: what SQLAlchemy chains may hold the address with its password.
            raise PredictionLogError(self._words(error)) from None

    def _else(self) -> str:
        """What to do about trouble that none of `REMEDIES` is for."""
        if self._file is None:
            return "See the log of the database server."
        return "Restore it from a backup, or move it away and start the API anew."

    def _words(self, error: Exception) -> str:
        said = str(getattr(error, "orig", None) or error).strip().replace("\n", " ")
        if self._password:
            said = said.replace(self._password, "***")
        remedy = next((cure for sign, cure in REMEDIES.items() if sign in said.lower()), self._else())
        return f"The {self._schema.what} {self.place} cannot be used: {said.rstrip('.')}. {remedy}"
