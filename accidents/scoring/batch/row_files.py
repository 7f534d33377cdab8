"""A CSV or Parquet file with one row an accident, as cells that nothing has interpreted yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from accidents.data.reading.delimited import normal, read_content, read_head, split_rows
from accidents.data.sources.archives import TABLE_ENDINGS
from accidents.data.sources.year_files import parse_name
from accidents.errors import DataError

ENDINGS = (".csv", ".csv.gz", ".csv.zip", ".zip", ".parquet")
_AGAIN = "Save it as CSV in UTF-8, with one row an accident below a line that names the columns."


@dataclass(frozen=True)
class RowFile:
    """Columns of cells: text, or what a Parquet file nests. `broken` are rows (from 0) that have no cells."""

    path: Path
    columns: Mapping[str, list[Any]]
    rows: int
    broken: Mapping[int, str]


def read_rows(path: Path, known: Sequence[str]) -> RowFile:
    """Read a file of accidents; columns whose names are `known` are called so, however they are written.

    Raises DataError, naming the file and the remedy, for anything that is no table with a header.
    """
    check_name(path)
    names = {normal(name): name for name in known}
    return _parquet(path, names) if path.name.lower().endswith(".parquet") else _csv(path, names)


def check_name(path: Path) -> None:
    """Raise DataError unless the name is that of a file of accidents."""
    if parse_name(path.name):
        raise DataError(
            f"{path} is one of the published files of a year: give the folder that holds the four of them."
        )
    if not path.name.lower().endswith(ENDINGS):
        raise DataError(
            f"{path}: accidents are read from files that end in {', '.join(ENDINGS)}, or from a year of "
            "published files. Save it as CSV."
        )


def _parquet(path: Path, known: Mapping[str, str]) -> RowFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}. It may be cut short, "
            "damaged or not yours to read: write it again, or save it as CSV."
        ) from None
    names = [known.get(normal(name), name) for name in table.column_names]
    _check_header(path, names)
    if not table.num_rows:
        raise DataError(f"{path} holds no rows: there is nothing to score. Write it again with its rows.")
    cells = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    return RowFile(path, dict(zip(names, cells, strict=True)), table.num_rows, {})


def _cell(value: Any) -> Any:
    """Return a typed value as the text it would be in a CSV file; lists stay."""
    if value is None or value != value:
        return ""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return value if isinstance(value, (str, list)) else str(value)


def _csv(path: Path, known: Mapping[str, str]) -> RowFile:
    data = read_content(path, lambda name: name.lower().endswith(TABLE_ENDINGS), _AGAIN)
    head = read_head(path, data, known, _AGAIN)
    width = len(head.names)
    rows = split_rows(head.body.decode(), head.separator, width)
    broken = {
        at: f"the row has {len(row)} fields, the header {width} (line {head.first_line + rows.lines[at]})"
        for at, row in enumerate(rows.cells)
        if len(row) != width
    }
    for at in rows.opened:
        broken[at] = f"{rows.problem(at)} (line {head.first_line + rows.lines[at]})"
    empty = [""] * width
    whole = [empty if at in broken else row for at, row in enumerate(rows.cells)]
    cells = list(map(list, zip(*whole, strict=True)))
    named = _named(head.names, cells)
    _check_header(path, named)
    columns = {name: column for name, column in zip(named, cells, strict=True) if name}
    return RowFile(path, columns, len(whole), broken)


def _named(names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each column without one, as an index has none.

    Nothing for those that are empty too.
    """
    return [
        name or (f"column_{at}" if any(map(str.strip, column)) else "")
        for at, (name, column) in enumerate(zip(names, cells, strict=True), start=1)
    ]


def _check_header(path: Path, names: Sequence[str]) -> None:
    """Refuse a table that names two columns the same."""
    twice = sorted({name for name in names if list(names).count(name) > 1 and name})
    if twice:
        raise DataError(f"{path}: two columns are called {', '.join(twice)}. Rename one of them.")
