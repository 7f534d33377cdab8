"""Checked tables in partitions: some accidents of one year each, in a folder of Parquet files of its own.

    manifest.json                    what partitions there are, in order; written last
    year=2021/part-0000/             accidents, places, vehicles and users as Parquet
    year=2021/part-0000/quality.json what reading them found; the last file of a partition

At a path of this machine or in a store: accidents/data/storage.py. An accident is in one partition alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from accidents.data.quality import Finding, QualityReport
from accidents.data.storage import (
    exists,
    join,
    parquet_of,
    parse_frame,
    read_bytes,
    read_frame,
    read_json,
    write_bytes,
    write_json,
)
from accidents.data.tables import Tables, concat
from accidents.errors import DataError, SourceError

MANIFEST = "manifest.json"
QUALITY = "quality.json"
_FORMAT = 2


@dataclass(frozen=True)
class TablePart:
    """One partition.

    Attributes
    ----------
    name : its place below the address.
    accidents : how many it holds.
    digest : MD5 of its tables' files.
    """

    name: str
    year: int
    accidents: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """All partitions at an address, in the order in which their accidents stand behind one another."""

    address: str
    parts: tuple[TablePart, ...]
    synthetic: bool
    version: str

    @property
    def years(self) -> list[int]:
        """The years that there are partitions of."""
        return sorted({part.year for part in self.parts})

    def part(self, name: str) -> TablePart:
        """Return a partition by its name. Raises SourceError if there is none of it."""
        for part in self.parts:
            if part.name == name:
                return part
        raise SourceError(f"{self.address}: no partition {name}.")

    def of_years(self, years: Sequence[int]) -> tuple[TablePart, ...]:
        """Return the partitions of these years. Raises SourceError naming a year that is not there."""
        missing = [str(year) for year in years if year not in self.years]
        if missing:
            there = ", ".join(map(str, self.years))
            raise SourceError(f"{self.address}: no partition of {', '.join(missing)}. There are: {there}.")
        return tuple(part for part in self.parts if part.year in years)


def part_name(year: int, number: int) -> str:
    """Return a partition's place below the address."""
    return f"year={year}/part-{number:04d}"


def is_partitioned(address: str) -> bool:
    """Whether partitions are at an address, all of them written."""
    return exists(join(address, MANIFEST))


def read_manifest(address: str) -> Manifest:
    """Read which partitions there are.

    Raises SourceError if there are none, DataError if the manifest is of another form.
    """
    where = join(address, MANIFEST)
    if not exists(where):
        raise SourceError(
            f"{address} holds no {MANIFEST}: it is no folder of partitions, or its writing was not finished. "
            "`make sample` writes one of synthetic accidents; a run with `engine: dask` leaves one of the "
            "raw files that it read, in `dask.folder`."
        )
    content = read_bytes(where)
    try:
        read = json.loads(content)
        parts = tuple(TablePart(**part) for part in read["parts"])
        if read["format"] != _FORMAT or not parts:
            raise ValueError(f"format {read['format']}, {len(parts)} partitions")
        version = hashlib.md5(content, usedforsecurity=False).hexdigest() + ".parquet"
        return Manifest(address, parts, bool(read["synthetic"]), version)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{where} is no manifest of partitions ({error}). Write the partitions again."
        ) from error


def write_manifest(address: str, parts: Sequence[TablePart], synthetic: bool, **facts: Any) -> None:
    """Say that all partitions are there. `facts` tell what they were made of."""
    listed = [vars(part) for part in parts]
    write_json(join(address, MANIFEST), {"format": _FORMAT, "parts": listed, "synthetic": synthetic, **facts})


def write_part(address: str, name: str, year: int, tables: Tables, quality: QualityReport) -> TablePart:
    """Write one partition; it is there when its quality report is."""
    files = {field.name: parquet_of(getattr(tables, field.name)) for field in fields(Tables)}
    for table, content in files.items():
        write_bytes(join(address, name, f"{table}.parquet"), content)
    write_json(join(address, name, QUALITY), json.loads(quality.to_json()))
    return TablePart(name, year, len(tables.accidents), _digest(files.values()))


def is_written(address: str, name: str) -> bool:
    """Whether all files of a partition are there."""
    files = [*(f"{field.name}.parquet" for field in fields(Tables)), QUALITY]
    return all(exists(join(address, name, file)) for file in files)


def is_finished(address: str, name: str) -> bool:
    """Whether the last file of a partition is there, which asks a store once."""
    return exists(join(address, name, QUALITY))


def read_part(address: str, part: TablePart) -> Tables:
    """Read the tables of one partition.

    Raises DataError or SourceError naming the file that is broken, or the partition that somebody has
    written again.
    """
    names = [join(address, part.name, f"{field.name}.parquet") for field in fields(Tables)]
    contents = [read_bytes(name) for name in names]
    tables = Tables(*map(parse_frame, names, contents))
    if _digest(contents) != part.digest:
        raise DataError(
            f"{join(address, part.name)} was written again since its manifest. Write all partitions again."
        )
    if len(tables.accidents) != part.accidents:  # which all counts before reading trust
        raise DataError(
            f"{join(address, part.name)} holds {len(tables.accidents)} accidents, and the manifest says "
            f"{part.accidents}. Write all partitions again."
        )
    return tables


def ids_of(address: str, name: str) -> npt.NDArray[np.int64]:
    """Read which accidents a partition holds."""
    frame = read_frame(join(address, name, "accidents.parquet"), ["accident_id"])
    return frame["accident_id"].to_numpy()


def require_once(address: str, parts: Iterable[npt.NDArray[np.int64]]) -> None:
    """Raise DataError for an accident in two of the partitions whose ids these are."""
    ids = np.concatenate([*parts])
    ids.sort()
    twice = np.unique(ids[1:][ids[1:] == ids[:-1]])
    if len(twice):
        raise DataError(
            f"{address}: accident {twice[0]} is there more than once, and {len(twice) - 1} others. Write "
            "each into one partition."
        )


def _digest(contents: Iterable[bytes]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def read_quality(address: str, parts: Sequence[TablePart]) -> QualityReport:
    """Read what was found in these partitions, in order."""
    findings = (finding for part in parts for finding in read_json(join(address, part.name, QUALITY)))
    return QualityReport([Finding(**finding) for finding in findings])


def read_together(address: str, parts: Sequence[TablePart]) -> tuple[Tables, QualityReport]:
    """Read partitions behind one another into this process."""
    return concat([read_part(address, part) for part in parts]), read_quality(address, parts)


def cut(tables: Tables, accidents: int) -> Iterator[Tables]:
    """Yield the tables in pieces of so many accidents at most, in order."""
    ids = tables.accidents["accident_id"].to_numpy()
    place = np.argsort(ids, kind="stable")
    owners = [
        place[np.searchsorted(ids[place], frame["accident_id"].to_numpy())]
        for frame in (tables.vehicles, tables.users)
    ]
    for start in range(0, max(len(ids), 1), accidents):
        end = start + accidents
        vehicles, users = (
            frame[(owner >= start) & (owner < end)].reset_index(drop=True)
            for frame, owner in zip((tables.vehicles, tables.users), owners, strict=True)
        )
        accidents_here, places = (
            frame.iloc[start:end].reset_index(drop=True) for frame in (tables.accidents, tables.places)
        )
        yield Tables(accidents_here, places, vehicles, users)
