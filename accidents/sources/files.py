"""Which published files a folder holds: the four tables of each year, known by their file names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from accidents.errors import SourceError

TABLES = ("caracteristiques", "lieux", "vehicules", "usagers")

# The publisher wrote caracteristiques, then carcteristiques (2021-2022), then caract (since 2023);
# `_` before the year up to 2016, `-` since. A copy may be gzipped and may have changed case.
_NAME = re.compile(
    r"(?P<table>caract\w*?|carct\w*?|lieux|vehicules|usagers)[-_](?P<year>(?:19|20)\d\d)\.csv(?:\.gz)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class YearFiles:
    """The files of one year. A table that was not published, or not downloaded, is None."""

    year: int
    caracteristiques: Path | None = None
    lieux: Path | None = None
    vehicules: Path | None = None
    usagers: Path | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """Raw table name to its file, for the tables there are."""
        found = {table: getattr(self, table) for table in TABLES}
        return {table: path for table, path in found.items() if path is not None}


def parse_name(name: str) -> tuple[str, int] | None:
    """Return (raw table, year) for a published file name such as `carcteristiques-2021.csv`, else None."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    table = match["table"].lower()
    return ("caracteristiques" if table.startswith("car") else table), int(match["year"])


def find_years(folder: Path) -> dict[int, YearFiles]:
    """Find published files at any depth under `folder`, by year in ascending order.

    Raises SourceError if the folder is missing or if two files claim to be one table of one year.
    """
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: there is no such folder. Give the folder that holds the published CSV files."
        )
    found: dict[int, dict[str, Path]] = {}
    for table, year, path in _published(folder):
        earlier = found.setdefault(year, {}).setdefault(table, path)
        if earlier != path:
            raise SourceError(
                f"{folder}: two files are the {table} table of {year}: {earlier.relative_to(folder)} and "
                f"{path.relative_to(folder)}. Remove one of them, or give a folder that holds only one."
            )
    return {year: YearFiles(year, **found[year]) for year in sorted(found)}


def _published(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """Yield (table, year, path) of each published file, in a stable order."""
    for path in sorted(folder.rglob("*")):
        named = parse_name(path.name)
        if named is not None and path.is_file():
            yield *named, path
