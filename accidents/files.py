"""Files and folders that are written whole or not at all, and leave nothing behind when they are not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the project's folder


def write_whole(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Write a file beside `path`, on the disk, then move it into place.

    Parameters
    ----------
    mode : the file's rights, before the umask: 0o600 for what only its owner may read.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that replaces `folder` when the block ends well, and is gone when it does not."""
    part, before = (folder.with_name(f"{folder.name}.{ending}") for ending in ("tmp", "before"))
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        yield part
        shutil.rmtree(before, ignore_errors=True)
        if folder.exists():
            os.replace(folder, before)
        os.replace(part, folder)
        shutil.rmtree(before, ignore_errors=True)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def move_whole(made: Path, folder: Path) -> None:
    """Put the content of `made`, which may be on another disk and is removed, in place of `folder`."""
    with whole_folder(folder) as part:
        shutil.copytree(made, part, dirs_exist_ok=True)
    shutil.rmtree(made, ignore_errors=True)
