"""A CSV or Parquet file with one row an accident, as cells that nothing has interpreted yet."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from accidents.errors import DataError
from accidents.sources.files import parse_name

SEPARATORS = (",", ";", "\t")
ENDINGS = ".csv, .csv.gz or .parquet"
_LARGEST_CELL = 10_000_000  # characters: a list of vehicles fits a thousand times


@dataclass(frozen=True)
class RowFile:
    """Columns of cells: text, or what a Parquet file nests. `broken` are rows (from 0) that have no cells."""

    path: Path
    columns: Mapping[str, list[Any]]
    rows: int
    broken: Mapping[int, str]


def read_rows(path: Path) -> RowFile:
    """Read a file of accidents.

    Raises DataError, naming the file and the remedy, for anything that is no table with a header.
    """
    check_name(path)
    return _parquet(path) if path.name.lower().endswith(".parquet") else _csv(path, _text(path))


def check_name(path: Path) -> None:
    """Raise DataError unless the name is that of a file of accidents."""
    if parse_name(path.name):
        raise DataError(
            f"{path} is one of the published files of a year: give the folder that holds the four of them."
        )
    if not path.name.lower().endswith((".csv", ".csv.gz", ".parquet")):
        raise DataError(
            f"{path}: accidents are read from {ENDINGS} files, or from a year of published files."
        )


def _parquet(path: Path) -> RowFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    _check_header(path, table.column_names)
    if not table.num_rows:
        raise DataError(f"{path} holds no rows: there is nothing to score.")
    columns = {name: [_cell(value) for value in table[name].to_pylist()] for name in table.column_names}
    return RowFile(path, columns, table.num_rows, {})


def _cell(value: Any) -> Any:
    """A typed value as the text it would be in a CSV file; lists stay."""
    if value is None or value != value:
        return ""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return value if isinstance(value, (str, list)) else str(value)


def _csv(path: Path, text: str) -> RowFile:
    csv.field_size_limit(_LARGEST_CELL)
    separator = _separator(text)
    try:
        header, *records = [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row
        ]
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {error}.") from None
    names = [name.strip() for name in header]
    _check_header(path, names)
    if not records:
        raise DataError(f"{path} has a header line and no rows: there is nothing to score.")
    broken = {
        row: f"the row has {len(record)} fields, the header {len(names)}"
        for row, record in enumerate(records)
        if len(record) != len(names)
    }
    empty = [""] * len(names)
    whole = [empty if row in broken else record for row, record in enumerate(records)]
    columns = dict(zip(names, map(list, zip(*whole, strict=True)), strict=True))
    return RowFile(path, columns, len(records), broken)


def _text(path: Path) -> str:
    """The content, UTF-8 or Latin-1, gzipped or not. Raises DataError if it is no text or there is none."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise DataError(f"{path} cannot be read: {error}.") from None
    if not data.strip():
        raise DataError(f"{path} is empty.")
    if b"\0" in data[:4096]:
        raise DataError(f"{path} is not text in UTF-8 or Latin-1: save it as CSV in UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _separator(text: str) -> str:
    first = text[:10_000].lstrip().splitlines()[0]
    return max(SEPARATORS, key=first.count)


def _check_header(path: Path, names: Sequence[str]) -> None:
    """Refuse a table that does not name its columns, or names two the same."""
    twice = sorted({name for name in names if list(names).count(name) > 1 and name})
    if twice:
        raise DataError(f"{path}: two columns are called {', '.join(twice)}. Rename one of them.")
    if "" in names:
        raise DataError(f"{path}: column {list(names).index('') + 1} has no name in the header.")
