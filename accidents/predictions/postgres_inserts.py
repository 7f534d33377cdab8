"""Rows into PostgreSQL: many in one statement, a transaction by itself, over a connection that is kept.

Every prediction waits for this. One statement is one way to the server and back; BEGIN and COMMIT around it
would be two more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DBAPIError

from accidents.predictions.engines import is_lost
from accidents.predictions.insert_statements import insert_all_into


class PostgresInserts:
    """Safe to share among threads, which take turns.

    Parameters
    ----------
    engine : of the server.
    check : told each new connection; raises where its database is none of ours.
    """

    def __init__(self, engine: Engine, check: Callable[[Connection], None]) -> None:
        self._engine, self._check = engine, check
        self._lock = threading.Lock()
        self._kept: Connection | None = None

    def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Commit all rows or none; one whose key is there already is left as it is.

        Over a connection that turns out to be lost it is tried once more, over a new one: if the first try
        was committed all the same, its rows are there already.

        Raises
        ------
        DBAPIError, or the driver's own errors.
        """
        given = orjson.dumps(rows).decode()
        with self._lock:
            try:
                self._once(table, given)
            except (DBAPIError, self._engine.dialect.loaded_dbapi.Error) as error:
                lost = self._has_lost(error)
                self.close()
                if not lost:
                    raise
                self._once(table, given)

    def close(self) -> None:
        """Give back the connection, which is not used again."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.invalidate()
            kept.close()

    def _has_lost(self, error: Exception) -> bool:
        """Whether it is for the connection, one kept here or in the engine's pool, that it failed."""
        if isinstance(error, DBAPIError):
            return error.connection_invalidated
        return is_lost(error, self._kept and self._kept.connection.driver_connection)

    def _once(self, table: Table, given: str) -> None:
        if self._kept is None:
            self._kept = self._connect()
        driver: Any = self._kept.connection.driver_connection
        driver.execute(insert_all_into(table), (given,), prepare=True)

    def _connect(self) -> Connection:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection
