"""Files and folders that are written whole or not at all, and leave nothing behind when they are not."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent  # the project's folder
_PART, _BEFORE = ".tmp", ".before"  # end the names of folders beside one that is being replaced
_ABANDONED = 24 * 3600  # seconds after which such a folder is nobody's any more


def write_whole(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Write a file beside `path`, on the disk, then move it into place.

    Parameters
    ----------
    mode : the file's rights, before the umask: 0o600 for what only its owner may read.
    """
    data = content.encode() if isinstance(content, str) else content
    # In containers that share a folder, processes have the same ids.
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path, keep: Collection[str] = ()) -> Iterator[Path]:
    """Yield an empty folder that replaces `folder` when the block ends well, and is gone when it does not.

    It is hidden until then: who looks for models or files beside `folder` passes it over. Of several who
    write `folder` at once the last one counts; what a killed one has left goes after a day.

    Parameters
    ----------
    keep : names of files in `folder` that stay as they are.
    """
    part = _beside(folder, _PART)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder, _PART)
    try:
        part.mkdir()
        yield part
        for name in keep:
            if (folder / name).exists():
                shutil.copy2(folder / name, part / name)
        _swap(part, folder)
        _sweep(folder, _BEFORE)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _beside(folder: Path, ending: str) -> Path:
    """Return a name for a hidden folder that nobody else has."""
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{ending}")


def _swap(part: Path, folder: Path) -> None:
    """Put `part` in the place of `folder`, where others may be putting theirs."""
    before = list[Path]()  # what was there, which stays until something is there again
    while True:
        before.append(_beside(folder, _BEFORE))
        with suppress(FileNotFoundError):  # there is none, or others have just taken it away
            os.replace(folder, before[-1])
        try:
            os.replace(part, folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
        finally:
            for old in before if folder.exists() else ():
                shutil.rmtree(old, ignore_errors=True)


def _sweep(folder: Path, ending: str) -> None:
    """Remove what processes that were killed have left beside `folder`."""
    for path in folder.parent.iterdir():
        if path.name.startswith(f".{folder.name}.") and path.name.endswith(ending):
            with suppress(FileNotFoundError):  # whose it is has just finished
                if time.time() - path.stat().st_ctime > _ABANDONED:
                    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def whole_content(folder: Path, listed: str) -> Iterator[Path]:
    """Yield an empty folder whose content goes into `folder` when the block ends well, and nothing when not.

    What the block before had put there goes, and after a day what a killed one has left; what others have put
    there stays.

    Parameters
    ----------
    listed : name of the file in `folder` that lists what is the block's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder / listed, _PART)
    with TemporaryDirectory(prefix=f".{listed}.", suffix=_PART, dir=folder) as part:
        yield Path(part)
        _replace(folder, Path(part), folder / listed)


def _replace(folder: Path, part: Path, listed: Path) -> None:
    new = {path.name for path in part.iterdir()}
    before = set(json.loads(listed.read_text(encoding="utf-8"))) if listed.exists() else set()
    write_whole(listed, json.dumps(sorted(new | before)))
    for name in before | new:
        old = folder / name
        if name not in new or old.is_dir():
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        if name in new:
            os.replace(part / name, old)
    write_whole(listed, json.dumps(sorted(new)))
