"""SQLite that does not wait for the disk, as PostgreSQL in tests/postgres.py.

A flush is for the day that the machine goes down, and no test takes it down: what is committed outlives a
killed process all the same. ZenML commits forty times a step, at some milliseconds each. The prediction log
asks for its flushes itself, and has them.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import Engine, event


@event.listens_for(Engine, "connect")
def _unflushed(connection: object, _: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")
