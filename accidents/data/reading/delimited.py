"""Delimited text: its content, its header and its rows, whatever program wrote it.

The published files and the files of accidents are read through this: what one tolerates, the other does.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from accidents.data.sources.archives import read_unpacked
from accidents.errors import DataError

SEPARATORS = (";", ",", "\t", "|")
_FIRST = 4096  # bytes that tell whether it is text: a stray NUL may be in it
_SAMPLE = 50_000  # bytes of the rows that tell how wide they are
LONGEST = csv.field_size_limit()  # characters of a cell
_SEP_LINE = re.compile(r'"?sep=(.)"?[;,\t|]*', re.IGNORECASE)  # Excel's first line
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Head:
    """The header of a file, and its rows as UTF-8 with LF line ends; unnamed columns are called ""."""

    names: list[str]
    separator: str
    line: int  # of the header, from 1
    body: bytes
    first_line: int  # of the body, from 1


def read_content(path: Path, wanted: Callable[[str], bool], remedy: str) -> bytes:
    """Return the text of a file, unpacked, as UTF-8 without BOM and with LF line ends.

    Raises DataError, with the remedy, for what is no text. `wanted` chooses among the members of an archive.
    """
    data = read_unpacked(path, wanted, remedy)
    start = data[:200].lstrip(_BOM + b" \r\n\t").lower()
    if not start:
        raise DataError(f"{path}: the file is empty. {remedy}")
    if start.startswith((b"<", b"{", b"pk\x03\x04", b"%pdf")):
        raise DataError(f"{path}: is not CSV but a web page, an archive or an office document. {remedy}")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:_FIRST].count(0) * 10 > len(data[:_FIRST]):
        raise DataError(f"{path}: is not text in UTF-8 or Latin-1, perhaps UTF-16. {remedy}")
    data = data.removeprefix(_BOM)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data = data.decode("latin-1").encode("utf-8")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data


def read_head(path: Path, data: bytes, known: Mapping[str, str], remedy: str) -> Head:
    """Split header and rows.

    `known` maps normal forms (`normal`) of column names to what we call them. The separator is the one that
    yields most of them, unless a first line `sep=` names it. Raises DataError if there is no row.
    """
    line, number, rest = _next_line(data, 1)
    declared = _SEP_LINE.fullmatch(line.strip(" "))
    if declared:
        line, number, rest = _next_line(rest, number + 1)
    if line.count('"') % 2:
        raise DataError(
            f"{path}, line {number}: a quotation mark in the header is not closed. Put all names of columns "
            f"on that line. {remedy}"
        )
    separator = declared[1] if declared else _separator(line[:10_000], known)
    if len(line) > LONGEST:
        raise DataError(f"{path}, line {number}: {len(line):,} characters name no columns. {remedy}")
    names = [_name(name, known) for name in _cells(line, separator)]
    body_line = number + 1 + len(rest) - len(rest.lstrip(b"\n"))
    body = rest.strip(b"\n")
    # As text: a no-break space is no row either. Two tabs are one, of empty cells.
    if separator.encode() not in body and not body.decode().strip():
        raise DataError(f"{path}: has a header line and no rows. {remedy}")
    return Head(_fitted(names, body[:_SAMPLE], separator), separator, number, body, body_line)


def normal(name: str) -> str:
    """Return a column's name as it is looked up: any case, blanks or hyphens for underscores."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _next_line(data: bytes, number: int) -> tuple[str, int, bytes]:
    """Return the first line that is not blank, its number, and what follows it.

    `data` begins with line `number`.
    """
    while data:
        line, _, data = data.partition(b"\n")
        text = line.decode()
        if text.strip():
            return text, number, data
        number += 1
    return "", number, data


def _separator(line: str, known: Mapping[str, str]) -> str:
    def fits(separator: str) -> tuple[int, int]:
        names = _cells(line, separator)
        return sum(normal(name) in known for name in names), len(names)

    return max(SEPARATORS, key=fits)


def _cells(line: str, separator: str) -> list[str]:
    """Names of a header line; they may be quoted or padded, even by no-break spaces."""
    row = next(csv.reader([line], delimiter=separator), [])
    return [name.replace("\ufeff", "").strip().strip('"').strip() for name in row]


def _name(name: str, known: Mapping[str, str]) -> str:
    return known.get(normal(name), name)


def _fitted(names: list[str], sample: bytes, separator: str) -> list[str]:
    """As many names as rows have fields, where they differ by row numbers or separators at line ends only."""
    lines = sample.decode(errors="replace").split("\n")[:100]
    rows = [row for row in csv.reader(lines[:-1] or lines, delimiter=separator) if any(map(str.strip, row))]
    if not rows:
        return names
    usual = Counter(map(len, rows)).most_common(1)[0][0]
    rows = [row for row in rows if len(row) == usual]
    blank = not any(cell.strip() for row in rows for cell in row[len(names) :])
    ended = blank and any(line.endswith(separator) for line in lines)
    if usual == len(names) + 1 and not ended and _count_up([row[0] for row in rows]):
        return ["", *names]
    if not blank or any(names[usual:]):
        return names
    return names[:usual] + [""] * (usual - len(names))


def _count_up(cells: Sequence[str]) -> bool:
    """Whether they are row numbers, for which R's write.table leaves no name in the header."""
    numbers = [int(cell) for cell in cells if cell.isascii() and cell.isdigit()]
    return len(numbers) == len(cells) and all(below < above for below, above in pairwise(numbers))


@dataclass(frozen=True)
class Rows:
    """Rows that are not blank, the line (from 0) on which each begins, and those that swallow others."""

    cells: list[list[str]]
    lines: Sequence[int]
    opened: frozenset[int] = frozenset()

    def problem(self, at: int) -> str:
        """Say what is wrong with one of `opened`."""
        if any(len(cell) > LONGEST for cell in self.cells[at]):
            return f"a cell has more than {LONGEST:,} characters"
        return "a quotation mark is opened and not closed as it should be"


def split_rows(text: str, separator: str, width: int) -> Rows:
    """Split the lines of a table into its rows; no line is lost.

    A quoted cell may hold line breaks. Where a quotation mark is never closed, or where closing it would
    make one row of several, the line stands alone and is among `opened`.
    """
    lines = list(io.StringIO(text, newline="\n"))
    try:  # the line at the end shows whether a quote is open
        cells = list(csv.reader([*lines, "\n"], delimiter=separator))
    except csv.Error:  # a cell longer than any: so much has been swallowed
        cells = []
    if len(cells) != len(lines) + 1:
        return _split_carefully(lines, separator, width)
    cells.pop()
    kept = [at for at, row in enumerate(cells) if _is_row(row, lines[at])]
    return Rows([cells[at] for at in kept], kept)


def _is_row(cells: Sequence[str], line: str) -> bool:
    """Whether a line is more than blank; separators alone make a row, also where they are tabs."""
    return len(cells) > 1 or bool(line.strip())


def _split_carefully(lines: list[str], separator: str, width: int) -> Rows:
    """Line by line, where one row is not one line throughout."""
    text, whole_row = "".join(lines), _whole_row(separator, width)
    cells: list[list[str]] = []
    begins: list[int] = []
    opened: set[int] = set()
    at = offset = 0
    while at < len(lines):
        row, is_open = _one_row(lines[at : at + 1], separator)
        span = 1
        if is_open and (end := whole_row.match(text, offset)):
            span = text.count("\n", offset, end.end()) + 1
            together, too_long = _one_row(lines[at : at + span], separator)
            if span > 1 and not too_long and not _swallows_rows(together, separator, width):
                row, is_open = together, False
            else:
                span = 1
        if _is_row(row, lines[at]):
            opened |= {len(cells)} if is_open else set()
            cells.append(row)
            begins.append(at)
        offset += sum(map(len, lines[at : at + span]))
        at += span
    return Rows(cells, begins, frozenset(opened))


def _one_row(lines: Sequence[str], separator: str) -> tuple[list[str], bool]:
    """Cells of lines that are a row, and whether it ends in an open quote or has a cell that is too long."""
    reader = csv.reader([*lines, "\n"], delimiter=separator)
    try:
        return next(reader), reader.line_num > len(lines)
    except csv.Error:
        return ["".join(lines)], True


def _whole_row(separator: str, width: int) -> re.Pattern[str]:
    """Match a row of `width` cells, each quoted one closed right before a separator or the line's end."""
    s = re.escape(separator)
    cell = rf'(?:"[^"]*+(?:""[^"]*+)*+"|[^"{s}\n][^{s}\n]*+|(?=[{s}\n]|\Z))'
    return re.compile(rf"{cell}(?:{s}{cell}){{{width - 1}}}(?=\n|\Z)")


def _swallows_rows(cells: Sequence[str], separator: str, width: int) -> bool:
    """Whether a cell's lines hold so many separators that they are rows, not text."""
    for cell in cells:
        counts = [line.count(separator) for line in cell.split("\n") if line.strip()]
        breaks = len(counts) - 1
        if breaks > 0 and (sum(counts) >= breaks * (width - 1) or max(counts) >= width - 1):
            return True
    return False
