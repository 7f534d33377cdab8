"""What SQLite keeps beside its file in WAL mode, watched: others may remove or cut it under our feet.

A commit goes to FILE-wal, which is read by way of FILE-shm, and some time later from there to FILE. A program
that has them open writes on when they have lost their names, and nobody finds it once that program ends.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from accidents.predictions.database_tables import PredictionLogError

Identity = tuple[int, int] | None  # device and number
_INDEX = struct.Struct("=14xHI")  # of the head of -shm: bytes of a page, and how many pages -wal holds
_WAL_HEAD, _PAGE_HEAD = 32, 24  # bytes


class FilesBeside:
    """`-wal` and `-shm` of a database. Holds a connection of its own, and so the way to what they contain."""

    def __init__(self, file: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._paths = (str(file), f"{file}-wal", f"{file}-shm")
        self._connection: sqlite3.Connection | None = None
        self._held: list[Identity] = []
        self._size = 0  # of -wal, when it was seen last
        self._index: int | None = None  # -shm, if it had to be looked at

    def intact(self) -> bool:
        """Whether both are those that were first seen. Raises PredictionLogError if `-wal` was cut off."""
        states = [_stat(path) for path in self._paths]
        names = [_identity(state) for state in states]
        if self._connection is not None and (names[0] != self._held[0] or None in self._held):
            self._require_own(names)
            self.close()  # another database has the name now; or it was not in WAL mode
        if self._connection is None:
            self._hold()
            return True
        if names != self._held:
            return False
        size = states[1].st_size if states[1] else 0
        if size < self._size:
            self._require_whole(size)
        self._size = size
        return True

    def save(self) -> None:
        """Write what they hold into the database's file, and let go of them.

        Raises
        ------
        PredictionLogError : another program has begun new ones, or is reading.
        """
        assert self._connection is not None
        wal = self._paths[1]
        state = _stat(wal)
        replaced = state is not None and state.st_size > 0 and _identity(state) != self._held[1]
        if replaced or self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise PredictionLogError(
                f"{wal} was removed or replaced while programs use it.",
                "End the others that do; if this goes on, stop this one, which writes what it holds, and "
                "start it again.",
            )
        self.close()

    def close(self) -> None:
        """Let go of them."""
        if self._connection is not None:
            self._connection.close()
            self._connection, self._size, self._index = None, 0, None

    def _hold(self) -> None:
        connection = self._connect()
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens all three
        self._connection, self._held = connection, [identity_of(path) for path in self._paths]

    def _require_own(self, names: Sequence[Identity]) -> None:
        """SQLite would take what is in the old `-wal` for changes of a file that was put in its place."""
        if None not in names and names[0] != self._held[0] and names[1] == self._held[1]:
            file, wal, shm = self._paths
            raise PredictionLogError(
                f"{file} was replaced, and {wal} is still that of the file before. Remove {wal} and {shm}."
            )

    def _require_whole(self, size: int) -> None:
        """Refuse a file that was cut off: SQLite, which does not notice, would spoil the rest with the gap.

        It makes -wal shorter by itself only once all that is in it is in the main file.
        """
        if self._index is None:  # never closed: that would take SQLite's own locks on it from this process
            self._index = os.open(self._paths[2], os.O_RDONLY | os.O_CLOEXEC)
        page, pages = _INDEX.unpack(os.pread(self._index, _INDEX.size, 0))
        if pages and size < _WAL_HEAD + pages * (_PAGE_HEAD + page):
            raise PredictionLogError(
                f"{self._paths[1]} was cut off by another program, and predictions with it.",
                "Copy the database's file away, end this program with kill -9, put the copy or a backup in "
                "its place, and start again.",
            )


def identity_of(path: str | Path) -> Identity:
    """Of the file that has this name now."""
    return _identity(_stat(path))


def _identity(state: os.stat_result | None) -> Identity:
    return None if state is None else (state.st_dev, state.st_ino)


def _stat(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
