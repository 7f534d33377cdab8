"""One published CSV file as columns of text, whatever its separator, encoding and line ends.

Nothing is interpreted here. A file that is not what it claims to be is refused with a DataError that names
the file, the line and the remedy.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from accidents.codes import TABLES, columns, raw_table
from accidents.errors import DataError

SEPARATORS = (";", ",", "\t", "|")
# Broken rows up to this share are dropped and counted; more mean that the file itself is broken.
TOLERATED = 0.001
KEY = "Num_Acc"
# Nearly every cell differs in these: text is cheaper than a dictionary of distinct texts.
_MOSTLY_DISTINCT = {KEY, "lat", "long", "id_vehicule", "id_usager"}
_AGAIN = "Download the file again, or restore the copy as published."


@dataclass(frozen=True)
class RawFile:
    """Columns by the publisher's name (dictionary-encoded text, except where nearly all cells differ)."""

    path: Path
    table: str
    columns: Mapping[str, pa.Array]
    rows: int
    body: bytes = field(repr=False)
    separator: str = ","
    width: int = 1
    first_line: int = 2
    extra: tuple[str, ...] = ()
    broken: tuple[int, ...] = ()  # lines with another number of fields than the header

    @property
    def one_line_per_row(self) -> bool:
        """Whether counting lines is enough: no blank line, no line break in a cell, no row left out."""
        return self.body.count(b"\n") + 1 == self.rows

    @cached_property
    def _lines(self) -> npt.NDArray[np.int64]:
        """Line of each row."""
        found = [line for line, _, fields in _records(self.body, self.separator) if fields == self.width]
        return np.array(found, dtype=np.int64) + self.first_line

    def line(self, row: int) -> int:
        """Line of the file (from 1) on which a row (from 0) starts."""
        return row + self.first_line if self.one_line_per_row else int(self._lines[row])

    def refuse(self, row: int, column: str, problem: str, remedy: str = _AGAIN) -> DataError:
        """Build the error that names file, line and column."""
        return DataError(f"{self.path}, line {self.line(row)}, column {column}: {problem}. {remedy}")


def read_raw(path: Path, table: str) -> RawFile:
    """Read the file of one of our tables. Raises DataError if it cannot be read as that."""
    header, header_line, body, first_line = _split_header(_text(path))
    separator, names = _header(path, table, header[:10_000], header_line)
    if not body:
        raise DataError(f"{path}: has a header line and no rows. {_AGAIN}")
    wanted = _wanted(path, table, names)
    parsed = _parse(path, body, separator, len(names), wanted)
    raw = RawFile(
        path=path,
        table=table,
        columns={raw: parsed.column(str(at)).combine_chunks() for raw, at in wanted.items()},
        rows=parsed.num_rows,
        body=body,
        separator=separator,
        width=len(names),
        first_line=first_line,
        extra=_extra(table, names),
    )
    return raw if raw.one_line_per_row else _check_rows(raw)


def _split_header(data: bytes) -> tuple[str, int, bytes, int]:
    """Header line and body without the blank lines around them, each with the number of its first line."""
    start = len(data) - len(data.lstrip(b"\n "))
    end = data.find(b"\n", start)
    end = len(data) if end < 0 else end
    rest = data[end:]
    body_start = end + len(rest) - len(rest.lstrip(b"\n "))
    header = data[start:end].decode()
    return (
        header,
        data.count(b"\n", 0, start) + 1,
        data[body_start:].rstrip(b"\n "),
        data.count(b"\n", 0, body_start) + 1,
    )


def _text(path: Path) -> bytes:
    """Content as UTF-8 without BOM and with LF line ends."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise DataError(
            f"{path}: cannot be read ({error}); it may be cut short or damaged. {_AGAIN}"
        ) from error
    start = data[:200].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if not start:
        raise DataError(f"{path}: the file is empty. {_AGAIN}")
    if start.startswith((b"<", b"{", b"pk\x03\x04", b"%pdf")):
        raise DataError(f"{path}: is not CSV but a web page, an archive or an office document. {_AGAIN}")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:200]:
        raise DataError(
            f"{path}: is not text in UTF-8 or Latin-1. Save it as CSV in UTF-8, or download it again."
        )
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data = data.decode("latin-1").encode("utf-8")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data


def _header(path: Path, table: str, line: str, number: int) -> tuple[str, list[str]]:
    """The separator that yields most known names, and the names."""
    splits = {separator: _names(line, separator) for separator in SEPARATORS}
    known = _known(table)
    separator = max(SEPARATORS, key=lambda each: sum(name.lower() in known for name in splits[each]))
    names = splits[separator]
    if KEY.lower() in [known.get(name.lower(), "").lower() for name in names]:
        return separator, names
    if names and names[0].isdigit():
        raise DataError(f"{path}, line {number}: there is no header line with the column names. {_AGAIN}")
    raise DataError(
        f"{path}, line {number}: the key column {KEY} is missing; the line reads {line[:80]!r}. "
        f"The file must have semicolon, comma, tab or | between columns named as published. {_AGAIN}"
    )


def _names(line: str, separator: str) -> list[str]:
    """Column names of a header line; a name may be quoted or padded, even by no-break spaces."""
    row = next(csv.reader([line], delimiter=separator), [])
    return [name.replace("\ufeff", "").strip().strip('"').strip() for name in row]


def _known(table: str) -> dict[str, str]:
    """Every lower-case name a column of the table has borne, to its usual raw name."""
    return {name: column.raw for column in columns(table) for name in column.raw_names}


def _wanted(path: Path, table: str, names: Sequence[str]) -> dict[str, int]:
    """Raw name to position of the columns to read. The postal address and the like are left out."""
    known, wanted = _known(table), dict[str, int]()
    unread = {column.raw for column in columns(table) if column.name is None} - _MOSTLY_DISTINCT
    for at, name in enumerate(names):
        raw = known.get(name.lower())
        if raw in wanted:
            raise DataError(
                f"{path}, header: two columns are {raw} ({name!r} is the second). Remove one of them."
            )
        if raw is not None and raw not in unread:
            wanted[raw] = at
    if len(wanted) == 1:
        raise DataError(
            f"{path}, header: has no column of {raw_table(table)} besides {KEY}{_likely(names)}. "
            "Give each file the name of the table that it holds."
        )
    return wanted


def _likely(names: Sequence[str]) -> str:
    """A guess at the table whose columns a file has."""
    scores = {table: sum(name.lower() in _known(table) for name in names) for table in TABLES}
    best = max(scores, key=lambda table: scores[table])
    return f"; it looks like {raw_table(best)}" if scores[best] > 1 else ""


def _extra(table: str, names: Sequence[str]) -> tuple[str, ...]:
    known = _known(table)
    return tuple(name or "(no name)" for name in names if name.lower() not in known)


def _parse(path: Path, body: bytes, separator: str, width: int, wanted: Mapping[str, int]) -> pa.Table:
    """Split the rows; the wanted columns are named by position. Rows of another width are left out."""
    encoded = pa.dictionary(pa.int32(), pa.string())
    types = {str(at): pa.string() if raw in _MOSTLY_DISTINCT else encoded for raw, at in wanted.items()}
    names = [str(at) for at in range(width)]
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(body),
            # One block and one thread: as fast on files of this size, and rows keep their order.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=len(body) + 1, column_names=names
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=lambda row: "skip"
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(types), column_types=types, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: cannot be split into columns ({error}). {_AGAIN}") from error


def _check_rows(raw: RawFile) -> RawFile:
    """Look at each row where rows are not one line each. Returns the file with its broken lines named."""
    try:
        rows = list(_records(raw.body, raw.separator))
    except csv.Error as error:
        raise DataError(f"{raw.path}: cannot be split into rows ({error}). {_AGAIN}") from error
    for line, text, _ in rows:
        # Only a quotation mark that is never closed swallows a row's worth of separators.
        if "\n" in text and text.count(raw.separator) >= raw.width - 1:
            raise DataError(
                f"{raw.path}, line {raw.first_line + line}: a quotation mark is opened and not closed, so "
                f"that the next rows would be lost ({text[:60]!r}). Remove it, or download the file again."
            )
    broken = [(raw.first_line + line, fields) for line, _, fields in rows if fields != raw.width]
    cut = rows[-1][2] < raw.width
    if cut or len(broken) > TOLERATED * len(rows) or len(rows) - len(broken) != raw.rows:
        line, fields = broken[-1 if cut else 0] if broken else (raw.first_line, raw.width)
        raise DataError(
            f"{raw.path}, line {line}{', the last,' if cut else ''} has {fields} fields where the header has "
            f"{raw.width}: the file is cut short, or a text that holds the separator {raw.separator!r} is "
            f"not quoted. {_AGAIN}"
        )
    return replace(raw, broken=tuple(line for line, _ in broken))


def _records(body: bytes, separator: str) -> Iterator[tuple[int, str, int]]:
    """Yield (line from 0, longest field, number of fields) of each row that is not blank."""
    reader = csv.reader(io.StringIO(body.decode(), newline=""), delimiter=separator)
    before = 0
    for row in reader:
        if len(row) > 1 or any(cell.strip() for cell in row):
            yield before, max(row, key=len), len(row)
        before = reader.line_num
