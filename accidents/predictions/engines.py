"""Addresses of the prediction log's database, and the engines that connect to them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

from accidents.files import ROOT
from accidents.predictions.database_tables import PredictionLogError
from accidents.predictions.sqlite_files import identity_of

Result = TypeVar("Result")
PATIENCE = 0.9  # seconds to wait for another program's lock
LOCKED = "55P03"  # PostgreSQL's word for a lock that was not had in time
# A server that went away without a word is noticed in seconds, not in the two hours TCP takes by itself.
POSTGRES = {
    "connect_timeout": "2",  # seconds; the least that libpq takes
    "tcp_user_timeout": "5000",  # milliseconds
    "keepalives_idle": "5",  # seconds
    "application_name": "accidents",
}
# Of a session, unless `options` in the address set them. No jit: it is asked for by costs that a partitioned
# table adds up over all months, and compiles for seconds what then takes one.
SESSION = {"lock_timeout": f"{int(PATIENCE * 1000)}ms", "timezone": "UTC", "jit": "off"}


def parsed(address: str) -> URL:
    """Return an address as URL. Raises PredictionLogError for one that is written wrongly."""
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


def file_of(url: URL) -> Path:
    """Return the file of an address of SQLite. Raises PredictionLogError for one that is none."""
    if not url.database or url.database.startswith((":", "file:")) or url.query:
        raise PredictionLogError(
            f"The log needs a plain file, not {url}: it must outlive the process. "
            "Write sqlite:///FILE, or sqlite:////FILE for a path from the root."
        )
    return ROOT / url.database


def without_secrets(url: URL) -> str:
    """Return an address as it may be shown."""
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{url.host or ''}{port}/{url.database or ''}"


def is_absent(file: Path | None) -> bool:
    """Whether there is no such file."""
    try:
        return file is not None and not file.exists()
    except OSError:  # its folder may not be looked into
        return False


def connect_to(file: Path, patience: float = PATIENCE) -> Callable[[], sqlite3.Connection]:
    """Connect to the file; never make it. `patience`: seconds to wait for another program's lock."""
    # mode=rw: a file that is gone is an error. Only `create` begins a new, empty log.
    address = f"{file.as_uri()}?mode=rw"
    return lambda: sqlite3.connect(address, uri=True, timeout=patience, check_same_thread=False)


def sqlite_engine(file: Path, connect: Callable[[], sqlite3.Connection]) -> Engine:
    """Of the connections that `connect` makes to the file."""
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


def postgres_engine(url: URL) -> Engine:
    """Connect to the server, and notice when it has gone."""
    extra = {name: value for name, value in POSTGRES.items() if name not in url.query}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args=extra,
        hide_parameters=True,
        pool_timeout=PATIENCE,
    )

    asked = str(url.query.get("options", "")).lower()
    session = "; ".join(f"SET {name} = '{value}'" for name, value in SESSION.items() if name not in asked)

    @event.listens_for(engine, "connect")
    def opened(connection: Any, record: Any) -> None:
        # Not as `options` of our own: PgBouncer refuses them, and those of the address would be without ours.
        if session:
            connection.execute(session)
            connection.commit()  # else the first rollback takes it back

    @event.listens_for(engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        if is_lost(context.original_exception):
            context.is_disconnect = True

    return engine


def in_short_tries(work: Callable[[], Result], patience: float) -> Result:
    """Do `work`, which needs locks that it does not wait for long, again and again until it gets them.

    In between all others do what waited behind it.

    Raises
    ------
    DBAPIError : it has not got them in `patience` seconds, or something else is wrong.
    """
    until = time.monotonic() + patience
    while True:
        try:
            return work()
        except DBAPIError as error:
            locked = getattr(error.orig, "sqlstate", None) == LOCKED
            if not locked or time.monotonic() > until:
                raise
        time.sleep(PATIENCE)


def is_lost(error: BaseException, driver: Any = None) -> bool:
    """Whether an error of PostgreSQL's driver means that the connection is of no use any more."""
    # A server that shuts down says so before it hangs up: that too is a lost connection.
    state = getattr(error, "sqlstate", None) or ""
    return state.startswith(("57P", "08")) or bool(getattr(driver, "closed", False))
