"""One published CSV file as columns of text, whatever its separator, encoding and line ends.

Nothing is interpreted here. A file that is not what it claims to be is refused with a DataError that names
the file, the line and the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from accidents.data.reading.delimited import Head, normal, read_content, read_head, split_rows
from accidents.data.sources.year_files import parse_name
from accidents.errors import DataError
from accidents.vocabulary.codes import TABLES, columns, raw_table

# Broken rows up to this share are dropped and counted; more mean that the file itself is broken.
TOLERATED = 0.001
KEY = "Num_Acc"
# Nearly every cell differs in these: text is cheaper than a dictionary of distinct texts.
_MOSTLY_DISTINCT = {KEY, "lat", "long", "id_vehicule", "id_usager"}
AGAIN = "Download the file again, or restore the copy as published."


@dataclass(frozen=True)
class RawFile:
    """Columns by the publisher's name (dictionary-encoded text, except where nearly all cells differ)."""

    path: Path
    table: str
    columns: Mapping[str, pa.Array]
    rows: int
    lines: npt.NDArray[np.int64]  # of the file (from 1), on which each row starts
    extra: tuple[str, ...] = ()
    broken: tuple[int, ...] = ()  # lines with another number of fields than the header

    def refuse(self, row: int, column: str, problem: str, remedy: str = AGAIN) -> DataError:
        """Build the error that names file, line and column of a row (from 0)."""
        return DataError(f"{self.path}, line {self.lines[row]}, column {column}: {problem}. {remedy}")


def read_raw(path: Path, table: str, year: int | None = None) -> RawFile:
    """Read the file of one of our tables; of an archive of several, the member that is named after the year.

    Raises DataError if it cannot be read as that.
    """
    known = _known(table)
    wanted_name = (raw_table(table), year)
    data = read_content(path, lambda name: parse_name(name) == wanted_name, AGAIN)
    head = read_head(path, data, known, AGAIN)
    _check_header(path, table, head)
    wanted = _wanted(path, table, head.names)
    parsed = _parse(path, head, wanted)
    in_order = np.arange(parsed.num_rows) + head.first_line
    closed = head.body.count(b'"') % 2 == 0
    one_line_per_row = closed and head.body.count(b"\n") + 1 == parsed.num_rows
    lines, broken = (in_order, ()) if one_line_per_row else _check_rows(path, head, parsed.num_rows)
    return RawFile(
        path=path,
        table=table,
        columns={raw: parsed.column(str(at)).combine_chunks() for raw, at in wanted.items()},
        rows=parsed.num_rows,
        lines=lines,
        extra=tuple(name or "(no name)" for name in head.names if normal(name) not in known),
        broken=broken,
    )


def _check_header(path: Path, table: str, head: Head) -> None:
    """Refuse a file without the key column, or with the columns of another table."""
    if KEY not in head.names:
        shown = head.separator.join(head.names)[:80]
        if head.names[0].isdigit():
            raise DataError(
                f"{path}, line {head.line}: there is no header line with the column names. {AGAIN}"
            )
        raise DataError(
            f"{path}, line {head.line}: the key column {KEY} is missing; the line reads {shown!r}. The file "
            f"must have semicolon, comma, tab or | between columns named as published. {AGAIN}"
        )
    own = {each: len(_own(each) & {normal(name) for name in head.names}) for each in TABLES}
    likely = max(TABLES, key=lambda each: own[each])
    if not own[table] or own[likely] > own[table]:
        guess = f"; it looks like {raw_table(likely)}" if own[likely] else ""
        raise DataError(
            f"{path}, header: these are not the columns of {raw_table(table)}{guess}. "
            "Give each file the name of the table that it holds."
        )


def _known(table: str) -> dict[str, str]:
    """Every name a column of the table has borne, in normal form, to its usual raw name."""
    return {normal(name): column.raw for column in columns(table) for name in column.raw_names}


@cache
def _own(table: str) -> frozenset[str]:
    """Names of columns that no other table has."""
    others = {name for each in TABLES if each != table for name in _known(each)}
    return frozenset(_known(table).keys() - others)


def _wanted(path: Path, table: str, names: Sequence[str]) -> dict[str, int]:
    """Raw name to position of the columns to read. The postal address and the like are left out."""
    known, wanted = {column.raw for column in columns(table)}, dict[str, int]()
    unread = {column.raw for column in columns(table) if column.name is None} - _MOSTLY_DISTINCT
    for at, name in enumerate(names):
        if name in wanted:
            raise DataError(
                f"{path}, header: two columns are {name} (the second is column {at + 1}). Remove one of them."
            )
        if name in known - unread:
            wanted[name] = at
    return wanted


def _parse(path: Path, head: Head, wanted: Mapping[str, int]) -> pa.Table:
    """Split the rows; the wanted columns are named by position. Rows of another width are left out."""
    encoded = pa.dictionary(pa.int32(), pa.string())
    types = {str(at): pa.string() if raw in _MOSTLY_DISTINCT else encoded for raw, at in wanted.items()}
    names = [str(at) for at in range(len(head.names))]
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(head.body),
            # One block and one thread: as fast on files of this size, and rows keep their order.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=len(head.body) + 1, column_names=names
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=head.separator, newlines_in_values=True, invalid_row_handler=lambda row: "skip"
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(types), column_types=types, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: cannot be split into columns ({error}). {AGAIN}") from error


def _check_rows(path: Path, head: Head, parsed: int) -> tuple[npt.NDArray[np.int64], tuple[int, ...]]:
    """Lines of the rows and of the broken ones, where rows are not one line each.

    Raises DataError where rows would be lost.
    """
    width = len(head.names)
    rows = split_rows(head.body.decode(), head.separator, width)
    for at in sorted(rows.opened)[:1]:
        raise DataError(
            f"{path}, line {head.first_line + rows.lines[at]}: {rows.problem(at)}, so rows would be lost "
            f"({head.separator.join(rows.cells[at])[:60]!r}). Remove it, or download the file again."
        )
    lines = np.array(rows.lines, dtype=np.int64) + head.first_line
    fields = np.array([len(row) for row in rows.cells])
    bad = np.flatnonzero(fields != width)
    cut = fields[-1] < width
    if cut or len(bad) > TOLERATED * len(fields) or len(fields) - len(bad) != parsed:
        at = bad[-1 if cut else 0] if len(bad) else 0
        raise DataError(
            f"{path}, line {lines[at]}{', the last,' if cut else ''} has {fields[at]} fields where the "
            f"header has {width}: the file is cut short, or a text that holds the separator "
            f"{head.separator!r} is not quoted. {AGAIN}"
        )
    return lines[fields == width], tuple(lines[bad].tolist())
