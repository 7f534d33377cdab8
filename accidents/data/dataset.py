"""From a source to checked tables: what the train pipeline's first step and the DVC stages both do."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accidents.data.data_versions import restore, snapshot
from accidents.data.partition_files import Manifest, is_partitioned, read_manifest, read_together
from accidents.data.quality import QualityReport
from accidents.data.reading import read_years
from accidents.data.sources import SOURCES, UNKNOWN, YearFiles, fetch, find_years
from accidents.data.sources.published_files import check_years
from accidents.data.sources.settings import DataSettings
from accidents.data.storage import is_remote
from accidents.data.table_files import file_hashes, load_tables
from accidents.data.tables import Tables
from accidents.errors import AccidentsError, SourceError
from accidents.files import ROOT
from accidents.source_code import code_version

DATA = ROOT / "data"
STAMP = DATA / "prepared" / "made_from.json"  # of which raw files and code the tables beside it were made
DVC_REMOTE = "ACCIDENTS_DVC_REMOTE"  # the variable with the address of DVC's remote, for commands and steps
SYNTHETIC = "SYNTHETIC.txt"  # stands above the years that the sample made, and is versioned with them


@dataclass(frozen=True)
class RawData:
    """Raw files by year, the DVC hash of all of them, and whether they are synthetic.

    Where the source holds checked tables already, in partitions, there are no files, and the version is the
    hash of their manifest.
    """

    years: Mapping[int, YearFiles]
    version: str
    synthetic: bool
    partitions: Manifest | None = None


def fetch_raw(settings: DataSettings, folder: Path = DATA) -> RawData:
    """Have the raw files asked for - made, downloaded, found or taken from DVC - and version them.

    Raises
    ------
    SourceError
        If the source cannot give those years, or DVC does not hold that version.
    """
    if settings.version is not None:
        return _restored(settings.version, settings, folder)
    if in_partitions(settings):
        source = settings.source  # workers may be in another folder than we are
        manifest = read_manifest(source if is_remote(source) else str(Path(source).resolve()))
        manifest.of_years(settings.years)
        return RawData({}, manifest.version, manifest.synthetic, manifest)
    sample = settings.sample.model_dump()
    return versioned(
        fetch(settings.source, settings.years, folder / "sources", refresh=settings.refresh, sample=sample)
    )


def in_partitions(settings: DataSettings) -> bool:
    """Whether the source holds checked tables in partitions: no raw files, and nothing for DVC."""
    of_source = settings.version is None and settings.source not in SOURCES
    return of_source and is_partitioned(settings.source)


def raw_of(version: str, settings: DataSettings, folder: Path = DATA, remote: str | None = None) -> RawData:
    """Have the raw files of a version, where the source has them, or from DVC's cache or remote.

    Raises SourceError if none of these gives them; files of any other hash are refused.

    Parameters
    ----------
    settings : what the version was made of.
    remote : address of DVC's remote; None for the default.
    """

    def from_source() -> RawData:
        return fetch_raw(settings.model_copy(update={"version": None, "refresh": False}), folder)

    def from_dvc() -> RawData:
        return _restored(version, settings, folder, remote)

    # What lies here, or is made here, is asked first; what would be downloaded, last.
    ways = [from_source, from_dvc]
    if settings.version or settings.source == "data.gouv":
        ways.reverse()
    missed = []
    for way in ways:
        try:
            raw = way()
        except (AccidentsError, OSError) as error:  # what is at a path elsewhere may not be for us to see
            missed.append(str(error))
            continue
        if raw.version == version:
            return raw
        missed.append(f"{settings.source} gives other files now: {raw.version}.")
    raise SourceError(
        f"The raw files of {version}, which the run was promised, cannot be had. {' '.join(missed)}"
    )


def source_of(raw: RawData, settings: DataSettings) -> str:
    """Return where raw files came from; of a data version the `source` beside it, unless it cannot be."""
    cannot = settings.source in SOURCES and (settings.source == "sample") != raw.synthetic
    return UNKNOWN if settings.version is not None and cannot else settings.source


def layout(years: Mapping[int, YearFiles]) -> dict[str, Path]:
    """Return files by their place in a versioned folder, `<year>/<published name>`, and the sample's mark."""
    home = {path: year for year in sorted(years, reverse=True) for path in years[year].paths.values()}
    files = {f"{year}/{path.name}": path for path, year in home.items()}  # an archive of several years once
    marks = {mark for files_of_year in years.values() if (mark := _mark(files_of_year))}
    return files | ({SYNTHETIC: min(marks)} if marks else {})


def laid_out(folder: Path, years: Sequence[int] = ()) -> dict[int, YearFiles]:
    """Return the files of some years in a folder that `layout` describes; without any named, of all.

    An archive of several years lies under the first that was taken of it: earlier ones in it are no part.

    Raises SourceError naming a year that is not there.
    """
    there = {year: files for year, files in find_years(folder).items() if not _lies_later(files)}
    if years:
        check_years(years, there, folder)
    return {year: there[year] for year in years or there}


def prepare(raw: RawData, years: Sequence[int] = ()) -> tuple[Tables, QualityReport]:
    """Read and check the years, or take `data/prepared` if this code made it from the same, as it is.

    `years` are those wanted of partitions, which may hold more.
    """
    if raw.partitions is not None:
        tables, quality = read_together(raw.partitions.address, raw.partitions.of_years(years))
        return tables.validate(), quality
    if _prepared_from(raw):
        return load_tables(STAMP.parent)
    tables, quality = read_years(raw.years)
    return tables.validate(), quality


def versioned(years: Mapping[int, YearFiles]) -> RawData:
    """Raw files of years with their version."""
    files = layout(years)
    return RawData(years, snapshot(files), SYNTHETIC in files)


def made_from(raw: RawData) -> dict[str, Any]:
    """Return what prepared tables are a function of: raw files, years, and the code that reads them."""
    code = code_version("accidents.data.reading")
    return {"data_version": raw.version, "years": sorted(raw.years), "code_version": code}


def stamp(raw: RawData, folder: Path) -> str:
    """Return what belongs in `STAMP`: what the tables in a folder were made from, and their files' hashes."""
    return json.dumps(made_from(raw) | {"files": file_hashes(folder)})


def _prepared_from(raw: RawData) -> bool:
    """Whether `data/prepared` was made from these raw files, and is as it was made; say so if it is not."""
    try:
        stamped = json.loads(STAMP.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    hashes = stamped.pop("files", None)  # an earlier release stamped none
    if hashes is None or stamped != made_from(raw):
        return False
    there = file_hashes(STAMP.parent)
    changed = sorted(name for name in hashes if there.get(name) != hashes[name])
    if changed:
        print(
            f"{STAMP.parent} is not as it was made ({', '.join(changed)}): the raw files are read instead. "
            "`dvc repro prepared` makes it anew.",
            file=sys.stderr,
            flush=True,
        )
    return not changed


def _restored(version: str, settings: DataSettings, folder: Path, remote: str | None = None) -> RawData:
    home = restore(version, folder / "versions" / version.removesuffix(".dir"), remote=remote)
    return versioned(laid_out(home, settings.years))


def _lies_later(files: YearFiles) -> bool:
    homes = [path.parent.name for path in files.paths.values()]
    return any(home.isdecimal() and int(home) > files.year for home in homes)


def _mark(files: YearFiles) -> Path | None:
    folder = next(iter(files.paths.values())).parent
    return next((mark for mark in (folder / SYNTHETIC, folder.parent / SYNTHETIC) if mark.exists()), None)
