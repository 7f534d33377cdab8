"""Which files data.gouv.fr publishes (`downloadable_years.csv`), and how to know one by its content."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from accidents.errors import SourceError

DATASET_PAGE = "https://www.data.gouv.fr/fr/datasets/53698f4ca3a729239d2036df/"
CATALOGUE = Path(__file__).with_name("downloadable_years.csv")

# A column that only this table has, in every year from 2005 on.
_OWN_COLUMN = {"caracteristiques": "lum", "lieux": "catr", "vehicules": "catv", "usagers": "grav"}
_KEYS = ("num_acc", "accident_id")  # the second is how caracteristiques 2022 calls it
_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class PublishedFile:
    """One published CSV file: a raw table of a year."""

    year: int
    table: str
    resource_id: str
    file_name: str

    @property
    def place(self) -> str:
        """Where it lies below a download folder: `2018/usagers-2018.csv`."""
        return f"{self.year}/{self.file_name}"


def published_files(years: Iterable[int] | None = None) -> list[PublishedFile]:
    """Return the published files of `years` (all years if None), by year and table.

    Raises SourceError if no year is asked for, or one that was not published.
    """
    with CATALOGUE.open(encoding="utf-8", newline="") as lines:
        files = [
            PublishedFile(int(row["year"]), row["table"], row["resource_id"], row["file_name"])
            for row in csv.DictReader(lines)
        ]
    if years is None:
        return files
    wanted = set(years)
    check_years(wanted, {file.year for file in files}, "data.gouv.fr")
    return [file for file in files if file.year in wanted]


def check_years(wanted: Iterable[int], there: Iterable[int], where: object) -> None:
    """Raise SourceError unless every wanted year is there; the message names the years there are."""
    wanted, there = sorted(set(wanted)), sorted(set(there))
    if not wanted:
        raise SourceError(f"{where}: no year was asked for. Years there are: {in_words(there)}.")
    missing = [year for year in wanted if year not in there]
    if missing:
        nearest = sorted({min(there, key=lambda year: abs(year - absent)) for absent in missing})
        raise SourceError(
            f"{where} has no {in_words(missing)}. Years there are: {in_words(there)}; "
            f"nearest: {in_words(nearest)}. Ask for those with --years."
        )


def in_words(years: Sequence[int]) -> str:
    """Write ascending years shortly: `2005-2007, 2012`."""
    runs: list[list[int]] = []
    for year in years:
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def check_content(path: Path, file: PublishedFile) -> None:
    """Raise SourceError unless the file at `path` is the table and year that `file` says, and is whole.

    Only its first two lines and its last are read: a page, an empty answer, another file or a cut is found,
    not a wrong value.
    """
    head, tail = _ends(path)
    fault = _content_fault(head, tail, file)
    if fault:
        raise SourceError(
            f"{file.file_name}: {fault}. Look at {DATASET_PAGE} whether the file has moved; "
            f"if so, put its new id into accidents/data/sources/{CATALOGUE.name}. If not, try again later."
        )


def _ends(path: Path) -> tuple[bytes, bytes]:
    """Return the first and the last bytes of a file."""
    with path.open("rb") as raw:
        head = raw.read(_TAIL_BYTES)
        raw.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return head, raw.read()


def _content_fault(head: bytes, tail: bytes, file: PublishedFile) -> str | None:
    """Say what is wrong with the content, or None."""
    if not head.strip():
        return "the answer is empty"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"{")):
        return f"the answer is a web page or a message, not a CSV file: {_excerpt(head)!r}"
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        return "the answer is a compressed archive, not a CSV file"
    lines = _lines(head)
    columns = _cells(lines[0], lines[0])
    key = next((name for name in _KEYS if name in columns), None)
    if key is None or _OWN_COLUMN[file.table] not in columns:
        return f"its columns are not those of the {file.table} table: {_excerpt(head)!r}"
    if len(lines) < 2:
        return "it has column names but no rows"
    accident = dict(zip(columns, _cells(lines[1], lines[0]), strict=False)).get(key, "")
    if not accident.startswith(str(file.year)):
        return f"it is not of {file.year}: its first accident is {accident!r}"
    if len(_cells(_lines(tail)[-1], lines[0])) < len(columns):
        return "it ends in the middle of a line"
    return None


def _lines(part: bytes) -> list[str]:
    """Return the lines that hold anything. latin-1 reads any byte, and the names looked for are ASCII."""
    text = part.decode("latin-1").removeprefix("\xef\xbb\xbf")
    # Not splitlines(): that also cuts at 0x85, which is half of a letter in UTF-8.
    return [line for line in text.replace("\r", "\n").split("\n") if line.strip()]


def _cells(line: str, header: str) -> list[str]:
    """Split a line as its header is separated: by `;` since 2019, `,` before, a tab in 2009."""
    separator = max(";,\t", key=header.count)
    return [cell.strip().lower() for cell in next(csv.reader([line], delimiter=separator))]


def _excerpt(head: bytes) -> str:
    return " ".join(head[:80].decode("utf-8", "replace").split())
