"""Raw years to checked tables, and these to rows of features, a partition at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from accidents.bundle.provenance import APART
from accidents.data.dataset import RawData
from accidents.data.partition_files import (
    MANIFEST,
    Manifest,
    TablePart,
    cut,
    ids_of,
    is_written,
    part_name,
    read_part,
    read_quality,
    require_once,
    write_manifest,
    write_part,
)
from accidents.data.quality import QualityReport
from accidents.data.reading.years import read_year, without_known
from accidents.data.sources import YearFiles
from accidents.data.storage import exists, join, read_bytes, read_json, remove, write_frame, write_json
from accidents.features import build_features
from accidents.source_code import code_version
from accidents.training.split import months_of
from engine.cluster_check import require_seen, share_folder
from engine.partitions import PartitionedRows, RowPart
from engine.reading import columns_of
from engine.settings import DaskSettings
from engine.table_partitions import PartitionedTables
from engine.tasks import each, one_by_one

SEEN = (
    "Copy the folder to where every worker and this machine see it, such as s3://bucket/folder, and name "
    "that place with --source or --input."
)
_YEAR = 10**8  # an accident's id is its year, and eight digits behind it


def tables_of(raw: RawData, years: Sequence[int], dask: DaskSettings) -> PartitionedTables:
    """Take the partitions of some years if the source holds such; else read the raw files into some."""
    return read_tables(raw, dask) if raw.partitions is None else open_tables(raw.partitions, years, dask)


def read_tables(raw: RawData, dask: DaskSettings) -> PartitionedTables:
    """Read the raw files of each year, as `read_years` does, into partitions; their manifest comes last.

    Workers of this machine read a year each. Others need not see the files: this process reads one year after
    another for them. Partitions that the same code has made of the same files are taken as they are.

    Raises
    ------
    ClusterError : a worker elsewhere does not see `dask.folder`.
    PartitionError : naming the year that cannot be read.
    """
    _require_shared(dask)
    code = code_version("accidents.data.reading", "accidents.data.partition_files")
    key = _key(raw.version, *sorted(raw.years), code, dask.partition_rows)
    address = join(dask.folder_address, f"tables-{key}")
    named = [(str(files.year), (files, address, dask.partition_rows)) for files in raw.years.values()]
    if dask.is_elsewhere:
        read = one_by_one(_read_one, named, "Reading years")
    else:
        read = each(dask, _read_one, named, "Reading years", saves_memory="")
    parts = _without_known([list(map(_part, made["parts"])) for made in read], read, address, dask)
    write_manifest(address, parts, raw.synthetic, raw_version=raw.version)
    return PartitionedTables(address=address, version=raw.version, parts=parts, dask=dask)


def open_tables(manifest: Manifest, years: Sequence[int], dask: DaskSettings) -> PartitionedTables:
    """Take partitions of tables that somebody has written, without reading them.

    Raises SourceError naming a year that is not there, ClusterError as `read_tables` does, or if a worker
    elsewhere does not see the partitions.
    """
    _require_shared(dask)
    if dask.is_elsewhere:
        there = join(manifest.address, MANIFEST)
        require_seen(dask, there, read_bytes(there), SEEN)
    parts = manifest.of_years(years)
    return PartitionedTables(address=manifest.address, version=manifest.version, parts=parts, dask=dask)


def build_rows(tables: PartitionedTables, stage: str) -> PartitionedRows:
    """`build_features` of each partition, written as partitions of rows."""
    code = code_version("accidents.features", "engine.preparation", but=APART)
    address = join(tables.dask.folder_address, f"rows-{_key(tables.address, tables.version, code, stage)}")
    parts = each(
        tables.dask,
        _build_one,
        [(part.name, (tables.address, part, address, stage)) for part in tables.parts],
        "Building features",
    )
    rows = PartitionedRows(address=address, stage=stage, parts=tuple(parts), dask=tables.dask)
    # It would be learnt from and judged on.
    require_once(tables.address, [columns_of(rows, ["accident_id"])["accident_id"].to_numpy()])
    return rows


def require_tables_once(tables: PartitionedTables) -> None:
    """Raise DataError for an accident in two partitions of tables: it would be scored and counted twice."""
    named = [(part.name, (tables.address, part.name)) for part in tables.parts]
    require_once(tables.address, each(tables.dask, ids_of, named, "Comparing accidents"))


def _require_shared(dask: DaskSettings) -> None:
    """Raise ClusterError if a worker elsewhere does not see the folder, before anything is made for it."""
    if dask.is_elsewhere:
        share_folder(dask)


def _read_one(files: YearFiles, address: str, rows: int) -> dict[str, Any]:
    """Read a year, and write its partitions; its note is written last."""
    note = join(address, f"year={files.year}", "made.json")
    if exists(note):
        made: dict[str, Any] = read_json(note)
        if all(is_written(address, part["name"]) for part in made["parts"]):
            return made
    remove(join(address, MANIFEST))  # before what it lists
    tables, quality = read_year(files)
    tables.validate()
    parts = []
    for number, piece in enumerate(cut(tables, rows)):
        # What was found is of the whole year: it stands with the first of its partitions.
        findings = quality if number == 0 else QualityReport()
        part = write_part(address, part_name(files.year, number), files.year, piece, findings)
        parts.append(asdict(part))
    ids = tables.accidents["accident_id"].to_numpy()
    made = {"parts": parts, "foreign": ids[ids // _YEAR != files.year].tolist()}
    write_json(note, made)
    return made


def _without_known(
    years: list[list[TablePart]], read: list[dict[str, Any]], address: str, dask: DaskSettings
) -> tuple[TablePart, ...]:
    """Leave out accidents that the files of an earlier year hold too, as `read_years` does.

    An id begins with its year, so only an accident in the files of another year can be in two: where no year
    has such a one, nothing is looked through.
    """
    foreign = [np.array(made["foreign"], dtype=np.int64) for made in read]
    of_year = [parts[0].year if parts else -1 for parts in years]
    looked_through = {
        at
        for at in range(1, len(years))
        if len(foreign[at]) or any((earlier // _YEAR == of_year[at]).any() for earlier in foreign[:at])
    }
    wanted = [
        (part.name, (address, part, sum(other.accidents for other in years[at]), earlier))
        for at in sorted(looked_through)
        for earlier in [[other.name for parts in years[:at] for other in parts]]
        for part in years[at]
    ]
    left = (
        dict(
            zip([name for name, _ in wanted], each(dask, _drop_known, wanted, "Comparing years"), strict=True)
        )
        if wanted
        else {}
    )
    return tuple(left.get(part.name, part) for parts in years for part in parts)


def _drop_known(address: str, part: TablePart, of_year: int, earlier: Sequence[str]) -> TablePart:
    """Write a partition again without the accidents of earlier ones, beside it; on a worker."""
    tables, findings = read_part(address, part), read_quality(address, [part])
    known = (ids_of(address, other) for other in earlier)
    kept = without_known(tables, known, findings, of_year)
    if len(kept.accidents) == len(tables.accidents):
        return part
    return write_part(address, f"{part.name}-once", part.year, kept, findings)


def _build_one(tables: str, part: TablePart, address: str, stage: str) -> RowPart:
    """Build the rows of one partition, and write them; on a worker. Its note is written last."""
    name = part.name
    note = join(address, f"{name}.json")
    if exists(note) and exists(join(address, f"{name}.parquet")):
        return RowPart.model_validate(read_json(note))
    loaded = read_part(tables, part)
    loaded.validate()
    rows = build_features(loaded, stage)
    months = months_of(rows)
    built = RowPart(
        name=name,
        rows=len(rows),
        months=months.accidents,
        unlabelled=months.unlabelled,
        undated=months.undated,
    )
    write_frame(join(address, f"{name}.parquet"), rows)
    write_json(note, built.model_dump(mode="json"))
    return built


def _part(content: Mapping[str, Any]) -> TablePart:
    return TablePart(**content)


def _key(*of: object) -> str:
    return hashlib.sha256(" ".join(map(str, of)).encode()).hexdigest()[:16]
