"""From a source to checked tables: what the train pipeline's first step and the DVC stages both do.

`python -m accidents.data raw` and `python -m accidents.data prepared` are the stages of dvc.yaml.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from accidents.errors import AccidentsError
from accidents.files import whole_folder
from accidents.quality import Finding, QualityReport
from accidents.reading import read_years
from accidents.settings import DataSettings, load_params
from accidents.sources import YearFiles, fetch, find_years
from accidents.tables import Tables
from accidents.versioning import ROOT, code_version, restore, snapshot

DATA = ROOT / "data"
SYNTHETIC = "SYNTHETIC.txt"  # stands above the years that the sample made, and is versioned with them


@dataclass(frozen=True)
class RawData:
    """Raw files by year, the DVC hash of all of them, and whether they are synthetic."""

    years: Mapping[int, YearFiles]
    version: str
    synthetic: bool


def have_raw(settings: DataSettings, folder: Path = DATA) -> RawData:
    """Have the raw files asked for - made, downloaded, found or taken from DVC - and version them.

    Raises
    ------
    SourceError
        If the source cannot give those years, or DVC does not hold that version.
    """
    if settings.version is not None:
        restored = restore(settings.version, folder / "versions" / settings.version.removesuffix(".dir"))
        return _versioned(find_years(restored))
    sample = settings.sample.model_dump()
    return _versioned(
        fetch(settings.source, settings.years, folder / "sources", refresh=settings.refresh, sample=sample)
    )


def layout(years: Mapping[int, YearFiles]) -> dict[str, Path]:
    """The files by their place in a versioned folder, `<year>/<published name>`, and the sample's mark."""
    home = {path: year for year in sorted(years, reverse=True) for path in years[year].paths.values()}
    files = {f"{year}/{path.name}": path for path, year in home.items()}  # an archive of several years once
    marks = {mark for one in years.values() if (mark := _mark(one))}
    return files | ({SYNTHETIC: min(marks)} if marks else {})


def prepare(raw: RawData) -> tuple[Tables, QualityReport]:
    """Read and check the years, or take `data/prepared` if this code made it from the same version."""
    stamp = DATA / "prepared" / "made_from.json"
    if stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == _made_from(raw.version):
        return load_tables(stamp.parent)
    tables, quality = read_years(raw.years)
    return tables.validate(), quality


def save_tables(folder: Path, tables: Tables, quality: QualityReport) -> None:
    """Write the tables as Parquet and the quality report as JSON into an existing folder."""
    for field in fields(Tables):
        getattr(tables, field.name).to_parquet(folder / f"{field.name}.parquet", index=False)
    (folder / "quality.json").write_text(quality.to_json(), encoding="utf-8")


def load_tables(folder: Path) -> tuple[Tables, QualityReport]:
    """Read what `save_tables` wrote."""
    tables = Tables(*(pd.read_parquet(folder / f"{field.name}.parquet") for field in fields(Tables)))
    findings = json.loads((folder / "quality.json").read_text(encoding="utf-8"))
    return tables, QualityReport([Finding(**finding) for finding in findings])


def _versioned(years: Mapping[int, YearFiles]) -> RawData:
    files = layout(years)
    return RawData(years, snapshot(files), SYNTHETIC in files)


def _mark(files: YearFiles) -> Path | None:
    folder = next(iter(files.paths.values())).parent
    return next((mark for mark in (folder / SYNTHETIC, folder.parent / SYNTHETIC) if mark.exists()), None)


def _made_from(version: str) -> dict[str, Any]:
    return {"data_version": version, "code_version": code_version()}


def _raw_stage(settings: DataSettings) -> None:
    with whole_folder(DATA / "raw") as part:
        for inside, path in layout(have_raw(settings).years).items():
            (part / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, part / inside)


def _prepared_stage() -> None:
    raw = _versioned(find_years(DATA / "raw"))
    tables, quality = read_years(raw.years)
    with whole_folder(DATA / "prepared") as part:
        save_tables(part, tables.validate(), quality)
        (part / "made_from.json").write_text(json.dumps(_made_from(raw.version)), encoding="utf-8")
    print(f"{len(tables.accidents):,} accidents prepared.")


def main(words: list[str]) -> int:
    """Run one stage of dvc.yaml; 0 if it went well."""
    try:
        if words == ["raw"]:
            _raw_stage(load_params(ROOT / "params.yaml").data)
        elif words == ["prepared"]:
            _prepared_stage()
        else:
            print("usage: python -m accidents.data raw|prepared", file=sys.stderr)
            return 2
    except AccidentsError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
