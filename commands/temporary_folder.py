"""Temporary folders go with the command that made them, however it ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "accidents-"


@contextmanager
def scratch() -> Iterator[Path]:
    """Have everything that this process puts into the temporary folder in one folder, gone afterwards.

    What a command that was killed has left behind goes, too.
    """
    before = tempfile.tempdir
    root = Path(tempfile.gettempdir())
    _clear_away(root)
    with tempfile.TemporaryDirectory(
        prefix=f"{PREFIX}{os.getpid()}-", dir=root, ignore_cleanup_errors=True
    ) as folder:
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before


def _clear_away(root: Path) -> None:
    """Remove the folders of our own commands that run no more."""
    for folder in root.glob(f"{PREFIX}*-*"):
        process = folder.name.removeprefix(PREFIX).split("-")[0]
        if process.isdecimal() and _is_ours(folder) and not _runs(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether this user made it: by number, for in a container a user may have no name."""
    try:
        return folder.lstat().st_uid == os.getuid()
    except FileNotFoundError:  # another command was faster
        return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
