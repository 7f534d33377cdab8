"""What to do about errors that are foreseen: a full disk, rights, a damaged store, a server that is gone."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from commands.project import ROOT
from stacks.server_errors import asked, diagnosis

_FULL = "The disk is full. Make room (`python run.py clean` removes old runs), then run the command again."
_RIGHTS = "This user may not read or write it. Change its owner or rights (chown, chmod), or name another."
_READ_ONLY = "The disk, or the database, can only be read. Make it writable, or use another folder."
_DAMAGED = (
    "A database is damaged, as by a disk that was full or a copy that was cut off. Put back its backup, or "
    "move it away: it is made anew, and `--pipeline train` fills it."
)
_LOCKED = "Another program is writing into the database. Let it finish, then run the command again."
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _READ_ONLY,
    errno.EMFILE: "Too many files are open. Raise the limit (`ulimit -n 4096`), then run the command again.",
}
_SAID = {  # by SQLite, and by what copies whole folders, in the text alone
    "No space left on device": _FULL,
    "database or disk is full": _FULL,
    "Permission denied": _RIGHTS,
    "attempt to write a readonly database": _READ_ONLY,
    "unable to open database file": _RIGHTS,
    "database is locked": _LOCKED,
    "disk image is malformed": _DAMAGED,
    "file is not a database": _DAMAGED,
    "disk I/O error": _DAMAGED,
}


def remedy(error: BaseException) -> str | None:
    """Return what a person can do about an error or what caused it; None if nobody foresaw it."""
    for each in _chain(error):
        if isinstance(each, MemoryError):
            return (
                "There is not enough memory. Close other programs, or take fewer years or rows at a time, or "
                "train by partition: `engine: dask`, docs/scaling.md."
            )
        text = str(each)
        by_words = next((known for words, known in _SAID.items() if words in text), None)
        if by_words == _RIGHTS and diagnosis(error):  # a server's words, of rights there
            by_words = None
        cure = _REMEDIES.get(each.errno or 0) if isinstance(each, OSError) else None
        if cure or by_words:
            return _named(cure or by_words or "")
    if not (cure := diagnosis(error)):
        return None
    part = asked(error)
    where = f"It came from {part}. " if part else ""
    return f"{where}{cure} `python run.py stack check NAME` tries every part of the stack."


def first_line(error: BaseException) -> str:
    """Say what is wrong in a line; of a folder that could not be copied, the first file and how many more."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        (source, _, why), *others = error.args[0]
        more = f", and {len(others):,} more" if others else ""
        return f"{source} could not be copied: {why}{more}"
    return (str(error).strip() or "no more is said").splitlines()[0]


def in_own_words(error: Exception) -> str:
    """Say an error of ours in its words; with the remedy where a full disk or damaged database made it."""
    cure = remedy(error) or ""
    return f"{error}\n{cure}" if cure.startswith((_FULL, _DAMAGED)) else str(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _named(cure: str) -> str:
    """Return the remedy; with the databases of this project that are damaged."""
    damaged = [str(path.relative_to(ROOT)) for path in _databases() if _is_damaged(path)]
    return f"{cure} It is {', '.join(damaged)}." if cure == _DAMAGED and damaged else cure


def _databases() -> Iterator[Path]:
    for folder in (ROOT / ".zenml", ROOT / ".serving", ROOT):
        yield from sorted(folder.rglob("*.db") if folder != ROOT else folder.glob("*.db"))


def _is_damaged(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.DatabaseError as error:
        return "locked" not in str(error)
