"""The version of the tables: asked of a database, and brought up to date by Alembic's migrations.

Everything happens in the caller's transaction, so an upgrade is done whole or not at all.
"""

from __future__ import annotations

import threading

from sqlalchemy import Connection, inspect, text

from accidents.predictions.database_tables import (
    REVISION,
    TABLES,
    NoDatabaseError,
    OutdatedError,
    PredictionLogError,
)

VERSION_TABLE = (
    "prediction_store_version"  # not Alembic's usual name: the database may hold other programs' tables
)
MADE_BY = "start the API, or run: python run.py database upgrade"
# Where a start does not do it: configs/api.yaml, `upgrade_log`.
BY_HAND = (
    "This API does not bring it up to date by itself (`upgrade_log`), as programs before this one cannot use "
    "it then, and there is no way back. Make a backup, then run: python run.py database upgrade"
)
# Before Alembic, log and history each had a table of one row, its version.
_LOG_BEFORE, _HISTORY_BEFORE = "prediction_log_version", "monitor_history_version"
_REVISION_OF = {1: "0001", 2: "0002"}  # of what was the log's version
_alembic = threading.Lock()  # it keeps the connection it works on in globals


def require_current(connection: Connection, place: str) -> None:
    """Raise PredictionLogError unless all tables are there, as this program knows them.

    Where there are none it is a NoDatabaseError, where they are older an OutdatedError.
    """
    names = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in names:
        if names & {_LOG_BEFORE, _HISTORY_BEFORE}:
            raise _outdated(place, "of a version before 0.6")
        raise NoDatabaseError(f"{place} holds no prediction log.", f"Correct the address, or {MADE_BY}.")
    revision = _revision(connection)
    if revision != REVISION:
        raise (
            _outdated(place, f"at revision {revision}") if revision < REVISION else _too_new(place, revision)
        )
    if missing := sorted(set(TABLES.tables) - names):
        raise PredictionLogError(
            f"The prediction log {place} has lost its table {', '.join(missing)}. Restore it from a backup."
        )


def upgrade(connection: Connection, place: str) -> None:
    """Make the tables where there are none, and bring older ones up to date, with their rows.

    Raises
    ------
    PredictionLogError
        They are of a newer program, or tables of another one have their names.
    """
    names = set(inspect(connection).get_table_names())
    if VERSION_TABLE in names:
        revision = _revision(connection)
        if revision > REVISION:
            raise _too_new(place, revision)
        if revision < REVISION:
            _migrate(connection, None)
        return
    ours = {"predictions", "labels"} if _LOG_BEFORE in names else set()
    ours |= {"monitor_runs", "loop_events"} if _HISTORY_BEFORE in names else set()
    if foreign := sorted((set(TABLES.tables) & names) - ours):
        raise PredictionLogError(
            f"{place} holds a table {foreign[0]!r} that is not the prediction log's. "
            "Give the prediction log a file or database of its own."
        )
    _migrate(connection, _revision_before_alembic(connection, place) if _LOG_BEFORE in names else None)


def _migrate(connection: Connection, stamp: str | None) -> None:
    """Run what is missing; `stamp` is the revision of tables that Alembic has not seen yet."""
    from alembic import command  # a third of a second, which only an upgrade needs to wait for
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "accidents.predictions:migrations")
    with _alembic:
        if stamp is not None:
            command.stamp(config, stamp)
        command.upgrade(config, "head")


def _revision(connection: Connection) -> str:
    return str(connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")))


def _revision_before_alembic(connection: Connection, place: str) -> str:
    version = int(connection.scalar(text(f"SELECT version FROM {_LOG_BEFORE}")) or 0)
    if version not in _REVISION_OF:
        raise _too_new(place, f"version {version}")
    return _REVISION_OF[version]


def _outdated(place: str, what: str) -> OutdatedError:
    return OutdatedError(f"The prediction log {place} is {what}.", f"To bring it up to date, {MADE_BY}.")


def _too_new(place: str, revision: str) -> PredictionLogError:
    return PredictionLogError(
        f"The prediction log {place} is at revision {revision}, and this program knows {REVISION}. "
        "Use the program that made it, or another file or database for this one."
    )
