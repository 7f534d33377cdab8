"""Gzipped and zipped tables, unpacked in memory up to a bound."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from accidents.errors import DataError

LARGEST = 2**30  # bytes of a table unpacked: a hundred times the largest published one
TABLE_ENDINGS = (".csv", ".tsv", ".txt")
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


def tables_in(archive: zipfile.ZipFile) -> list[str]:
    """Members that may be tables: no folders, and not the notes that macOS leaves."""
    names = (name for name in archive.namelist() if name.lower().endswith(TABLE_ENDINGS))
    return [name for name in names if not Path(name).name.startswith(".") and "__MACOSX" not in name]


def table_names(path: Path) -> list[str]:
    """Names of the tables in a zip archive; none if it cannot be read as one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tables_in(archive)
    except (OSError, zipfile.BadZipFile):
        return []


def read_unpacked(path: Path, wanted: Callable[[str], bool], remedy: str) -> bytes:
    """Return the content of a file, or of the one table in it that is `wanted` by its name.

    Raises DataError, with what is wrong and the remedy, if it cannot be had or is larger than `LARGEST`.
    """
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP):
            data = _bounded(path, gzip.GzipFile(fileobj=io.BytesIO(data)))
        elif data.startswith(_ZIP):
            data = _member(path, data, wanted, remedy)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); it may be cut short or damaged. {remedy}"
        ) from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}). Look whether it is there and you may read it."
        ) from error
    return data


def _bounded(path: Path, packed: IO[bytes] | gzip.GzipFile) -> bytes:
    data: bytes = packed.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise DataError(
            f"{path}: unpacks to more than {LARGEST // 2**20} MB, which no such table needs. Split it, "
            "or unpack it yourself if you trust it."
        )
    return data


def _member(path: Path, data: bytes, wanted: Callable[[str], bool], remedy: str) -> bytes:
    """Return the table of a zip archive: the only one, or the only one with the wanted name."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = tables_in(archive)
            members = names if len(names) == 1 else [name for name in names if wanted(Path(name).name)]
            if not names:
                raise DataError(
                    f"{path}: is not CSV but an archive or an office document without CSV in it. {remedy}"
                )
            if len(members) != 1:
                raise DataError(
                    f"{path}: which of its tables is meant? It holds {', '.join(names[:5])}"
                    f"{', ...' if len(names) > 5 else ''}. Unpack the one that you mean."
                )
            with archive.open(members[0]) as packed:
                return _bounded(path, packed)
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{path}: is an archive or an office document that is damaged ({error}). {remedy}"
        ) from error
    except (NotImplementedError, RuntimeError) as error:  # another compression, or a password
        raise DataError(f"{path}: cannot be unpacked ({error}). Unpack it yourself.") from error
