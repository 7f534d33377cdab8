"""The database of the prediction log: how it is opened, its transactions, and its errors in words.

SQLite is opened in WAL mode with synchronous=FULL: every commit is flushed to the disk, so neither kill -9
nor a power loss takes a committed row (as far as the disk keeps its promise). NORMAL would survive kill -9
just as well and lose the last commits with the power; the flush costs 0.2 ms of a commit on an SSD, and one
commit carries everything that waits (serving/api/log_writer.py), so there is little to win.
PostgreSQL promises the same by itself (fsync and synchronous_commit are on unless someone turned them off).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

from accidents.prediction_files import FilesBeside, identity_of
from accidents.prediction_insert import as_driver_takes, insert_into
from accidents.prediction_tables import PREDICTION_LOG, PredictionLogError, Schema

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 0.9  # seconds to wait for another program's lock
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

# A server that went away without a word is noticed in seconds, not in the two hours TCP takes by itself.
POSTGRES = {
    "connect_timeout": "2",  # seconds; the least that libpq takes
    "tcp_user_timeout": "5000",  # milliseconds
    "keepalives_idle": "5",  # seconds
    "application_name": "accidents",
    "options": f"-c lock_timeout={int(PATIENCE * 1000)} -c timezone=UTC",
}


class PredictionDatabase:
    """Transactions on the tables. Opens nothing until the first one. Safe to share among threads."""

    def __init__(self, address: str, schema: Schema = PREDICTION_LOG) -> None:
        """`address` is sqlite:///FILE (relative: to the project's folder) or postgresql://USER:PASSWORD@HOST/DB."""
        self._schema = schema
        url = _parsed(address)
        self._file = _file_of(url) if url.get_backend_name() == "sqlite" else None
        self.place = str(self._file) if self._file else _without_secrets(url)
        self._password = str(url.password or "")
        self._beside: FilesBeside | None = None
        self._lock = threading.Lock()
        if self._file:
            connect = _connect_to(self._file)
            self._engine, self._beside = _sqlite(self._file, connect), FilesBeside(self._file, connect)
        else:
            self._engine = _postgres(url)

    def create(self) -> None:
        """Make folder, file and tables where they are missing; the database of PostgreSQL must exist.

        Raises
        ------
        PredictionLogError : it cannot be made, or is there in another version.
        """
        if self._file:
            self._create_file(self._file)
        self._run(self._create_tables, write=True)

    def run(self, work: Callable[[Connection], Result], *, write: bool) -> Result:
        """What `work` returns, done in one transaction. It is called twice if the connection was lost: a
        server that was restarted is not an error, so `work` must bear being repeated after a commit.

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
        """Raise PredictionLogError unless the database answers, and is of our version."""
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
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                return self._once(work, write)

    def _once(self, work: Callable[[Connection], Result], write: bool) -> Result:
        with self._begin(write) as connection:
            opened = connection.info.get("file")
            result = work(connection)
        self._require_file(opened)
        self._settle()
        return result

    def _insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Through SQLite's driver: every prediction waits for this, and SQLAlchemy's own layers over a
        transaction of one row take thrice as much of the processor."""
        given = as_driver_takes(table, rows, self._engine.dialect)
        self._settle()
        with self._engine.connect() as connection:
            opened = connection.info.get("file")
            self._checked(connection, lambda _: None)
            driver: Any = connection.connection.driver_connection
            with driver:  # commits, or rolls back
                driver.execute("BEGIN IMMEDIATE")
                driver.executemany(insert_into(table).text, given)
        self._require_file(opened)
        self._settle()

    def _require_file(self, opened: tuple[int, int] | None) -> None:
        if self._file and opened != identity_of(
            self._file
        ):  # deleted meanwhile: the commit went into a file without a name
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
            raise PredictionLogError(
                f"{self.place} is not a {schema.what}: it has no table {', '.join(sorted(missing))}. "
                f"Correct the address, or {schema.made_by}, which makes the tables."
            )
        found = connection.scalar(select(schema.versions.c.version))
        if found != schema.version:
            raise PredictionLogError(
                f"The {schema.what} {self.place} is of version {found}, "
                f"this program writes version {schema.version}. "
                "Use the program that made it, or another file or database for this one."
            )

    def _create_tables(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":  # two that start at once: one after the other
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('accidents.prediction_log'))"))
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
        self._check_version(connection)

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

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            # `from None`: what SQLAlchemy chains may hold the address with its password.
            raise PredictionLogError(self._words(error)) from None

    def _words(self, error: Exception) -> str:
        said = str(getattr(error, "orig", None) or error).strip().replace("\n", " ")
        if self._password:
            said = said.replace(self._password, "***")
        remedy = next((cure for sign, cure in REMEDIES.items() if sign in said.lower()), "See its own log.")
        return f"The {self._schema.what} {self.place} cannot be used: {said.rstrip('.')}. {remedy}"


def _parsed(address: str) -> URL:
    wrong = (
        "The address of the prediction log is not one of sqlite:///FILE and "
        "postgresql://USER:PASSWORD@HOST:PORT/DATABASE. Correct `database_url`; "
        "write @ : / ? # in a password as %40 %3A %2F %3F %23."
    )  # and not what it is: an address that is written wrongly may show its password anywhere
    try:
        url = make_url(address.replace("postgres://", "postgresql://", 1))
    except (SQLAlchemyError, ValueError):
        raise PredictionLogError(wrong) from None
    known = url.drivername in {"sqlite", "postgresql", "postgresql+psycopg"}
    if not known or (url.get_backend_name() == "postgresql" and address.count("@") > 1):
        raise PredictionLogError(wrong)
    return url


def _file_of(url: URL) -> Path:
    if not url.database or url.database.startswith((":", "file:")) or url.query:
        raise PredictionLogError(
            f"The log needs a plain file, not {url}: it must outlive the process. "
            "Write sqlite:///FILE, or sqlite:////FILE for a path from the root."
        )
    return ROOT / url.database


def _without_secrets(url: URL) -> str:
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{url.host or ''}{port}/{url.database or ''}"


def _connect_to(file: Path) -> Callable[[], sqlite3.Connection]:
    # mode=rw: a file that is gone is an error. Only `create` begins a new, empty log.
    address = f"{file.as_uri()}?mode=rw"
    return lambda: sqlite3.connect(address, uri=True, timeout=PATIENCE, check_same_thread=False)


def _sqlite(file: Path, connect: Callable[[], sqlite3.Connection]) -> Engine:
    engine = create_engine(f"sqlite:///{file}", creator=connect, hide_parameters=True, pool_timeout=PATIENCE)

    @event.listens_for(engine, "connect")
    def opened(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        connection.execute("PRAGMA synchronous=FULL")
        record.info["file"] = identity_of(file)

    @event.listens_for(engine, "checkout")
    def checked_out(connection: sqlite3.Connection, record: Any, proxy: Any) -> None:
        if record.info["file"] != identity_of(file):
            raise DisconnectionError  # the pool opens another

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # IMMEDIATE takes the one lock for writing at once, and waits for it; a later upgrade would not wait.
        if kind := connection.get_execution_options().get("sqlite_begin"):
            connection.exec_driver_sql(f"BEGIN {kind}")

    return engine


def _postgres(url: URL) -> Engine:
    extra = {name: value for name, value in POSTGRES.items() if name not in url.query}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args=extra,
        hide_parameters=True,
        pool_timeout=PATIENCE,
    )

    @event.listens_for(engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        # A server that shuts down says so before it hangs up: that too is a lost connection.
        state = getattr(context.original_exception, "sqlstate", None) or ""
        if state.startswith(("57P", "08")):
            context.is_disconnect = True

    return engine
