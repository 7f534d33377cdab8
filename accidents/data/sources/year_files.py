"""Which published files a folder holds: the four tables of each year, known by their file names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from accidents.data.sources.archives import table_names
from accidents.errors import SourceError

TABLES = ("caracteristiques", "lieux", "vehicules", "usagers")

# The publisher wrote caracteristiques, then carcteristiques (2021-2022), then caract (since 2023);
# `_` before the year up to 2016, `-` since. A copy may be packed and may have changed case.
_NAME = re.compile(
    r"(?P<table>caract\w*?|carct\w*?|lieux|vehicules|usagers)[-_](?P<year>(?:19|20)\d\d)"
    r"(?:\.csv(?:\.gz|\.zip)?|\.zip)",
    re.IGNORECASE,
)

# Files that a person may take for tables of ours, by their ending or by their name.
_LIKE_TABLES = (".csv", ".tsv", ".gz", ".zip", ".7z", ".rar", ".xls", ".xlsx", ".ods", ".parquet")
_TABLE_WORD = re.compile(r"caract|carct|lieux|vehicules|usagers", re.IGNORECASE)


@dataclass(frozen=True)
class YearFiles:
    """The files of one year. A table that was not published, or not downloaded, is None.

    Several tables may be one zip archive. `unused` are files beside them that look like tables and are none.
    """

    year: int
    caracteristiques: Path | None = None
    lieux: Path | None = None
    vehicules: Path | None = None
    usagers: Path | None = None
    unused: tuple[Path, ...] = field(default=(), kw_only=True)

    @property
    def paths(self) -> dict[str, Path]:
        """Raw table name to its file, for the tables there are."""
        paths = {table: getattr(self, table) for table in TABLES}
        return {table: path for table, path in paths.items() if path is not None}


def parse_name(name: str) -> tuple[str, int] | None:
    """Return (raw table, year) for a published file name such as `carcteristiques-2021.csv`, else None."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    table = match["table"].lower()
    return ("caracteristiques" if table.startswith("car") else table), int(match["year"])


def find_years(folder: Path) -> dict[int, YearFiles]:
    """Find published files at any depth under `folder`, by year in ascending order.

    A table in an archive is taken where it does not lie unpacked beside it.

    Raises SourceError if the folder is missing or if two files claim to be one table of one year.
    """
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: there is no such folder. Give the folder that holds the published CSV files."
        )
    by_year: dict[int, dict[str, Path]] = {}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for table, year, path in _loose(paths):
        earlier = by_year.setdefault(year, {}).setdefault(table, path)
        if earlier != path:
            raise _claimed_twice(folder, table, year, earlier, path)
    loose = {(table, year) for year, tables in by_year.items() for table in tables}
    for table, year, path in _zipped(paths):
        earlier = by_year.setdefault(year, {}).setdefault(table, path)
        if earlier != path and (table, year) not in loose:
            raise _claimed_twice(folder, table, year, earlier, path)
    used = {path for tables in by_year.values() for path in tables.values()}
    unused = [path for path in paths if path not in used and _is_like_a_table(path.name)]
    return {
        year: YearFiles(year, *map(by_year[year].get, TABLES), unused=_near(unused, by_year, year))
        for year in sorted(by_year)
    }


def _loose(paths: Iterable[Path]) -> Iterator[tuple[str, int, Path]]:
    """Yield (table, year, path) of each published file that is in no archive."""
    for path in paths:
        named = parse_name(path.name)
        if named is not None and not _is_zip(path):
            yield *named, path


def _zipped(paths: Iterable[Path]) -> Iterator[tuple[str, int, Path]]:
    """Yield (table, year, path) of each table in an archive that has a published name, or is in one."""
    for path in filter(_is_zip, paths):
        own = parse_name(path.name)
        inside = [named for name in table_names(path) if (named := parse_name(Path(name).name))]
        for named in [own] if own else inside:
            yield *named, path


def _is_zip(path: Path) -> bool:
    return path.name.lower().endswith(".zip")


def _is_like_a_table(name: str) -> bool:
    """Return whether a person may take a file of this name for a table of ours."""
    own = not name.startswith(".") and not name.endswith(".dvc")  # no hidden file, no pointer of DVC's
    return own and (name.lower().endswith(_LIKE_TABLES) or _TABLE_WORD.search(name) is not None)


def _claimed_twice(folder: Path, table: str, year: int, first: Path, other: Path) -> SourceError:
    return SourceError(
        f"{folder}: two files are the {table} table of {year}: {first.relative_to(folder)} and "
        f"{other.relative_to(folder)}. Remove one of them, or give a folder that holds only one."
    )


def _near(unused: Iterable[Path], by_year: Mapping[int, Mapping[str, Path]], year: int) -> tuple[Path, ...]:
    """Those of the unused files that lie where this year's files do, or where no year's do."""
    homes = {each: {path.parent for path in tables.values()} for each, tables in by_year.items()}
    others = {home for each in homes.values() for home in each} - homes[year]
    return tuple(path for path in unused if path.parent not in others)
