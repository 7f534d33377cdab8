"""What `--input` says: a raw year, a folder of published files of one year, or a file of accidents."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from accidents.data.data_versions import restore, snapshot
from accidents.data.dataset import DATA, RawData, fetch_raw, layout, raw_of
from accidents.data.partition_files import is_partitioned
from accidents.data.sources.settings import DataSettings
from accidents.data.sources.year_files import YearFiles, find_years
from accidents.data.tables import Tables, chosen
from accidents.errors import AccidentsError, DataError, SourceError
from accidents.scoring.batch.intake import ID, NOTES, PEDESTRIAN, ROW, Intake, missing_time_or_place
from accidents.scoring.batch.people import KINDS, vehicles_and_users
from accidents.scoring.batch.row_files import RowFile, check_name, read_rows
from accidents.scoring.batch.row_parsers import yes_or_no
from accidents.scoring.batch.rows import Rows, accidents_and_places, used
from accidents.scoring.batch.years import read_raw_year

# Columns of our own in what comes out.
_PREDICTED = ("probability", "band", "alert", "model_name", "model_version", "reasons")
_OURS = frozenset((ROW, ID, NOTES, PEDESTRIAN, "reason", *_PREDICTED))
DASK_EXAMPLE = "--config configs/inference.dask.yaml"
_OTHERS = ("accident_id", "time", "minute", "pedestrian", "vehicles", "users", *KINDS)


def name_of(given: str) -> str:
    """Return a name for the output's folder: 2022, or the file's name without its ending."""
    name = Path(given).name or Path(given).resolve().name
    return re.sub(r"(\.csv)?(\.csv|\.gz|\.zip|\.parquet)$", "", name, flags=re.IGNORECASE)


def check_input(given: str, data: DataSettings) -> None:
    """Have the raw year, or look at the path: what is wrong is said before anything starts.

    Raises AccidentsError if `read_input` could not begin to read it.
    """
    partitions = f"holds partitions, which `engine: dask` scores: {DASK_EXAMPLE}."
    if is_year(given):
        if raw_year(given, data).partitions is not None:
            raise SourceError(f"--source {data.source} {partitions}")
    elif is_partitioned(given):
        raise SourceError(f"--input {given} {partitions}")
    elif (path := _existing(given)).is_dir():
        _year_in(path, given)
    else:
        check_name(path)


def version_of(given: str, data: DataSettings, keep: bool) -> str:
    """DVC's hash of what `read_input` will read.

    Parameters
    ----------
    keep : whether a person's files go into DVC's cache; those of a year always do.
    """
    if is_year(given):
        return raw_year(given, data).version
    return snapshot(_files(_existing(given), given), keep=keep)


def read_input(
    given: str, data: DataSettings, version: str | None = None, remote: str | None = None
) -> Intake:
    """Read a year (`2022`, from the source in `data`), a folder with one year's published files, or a file.

    Parameters
    ----------
    version : what `version_of` gave: it is read or nothing is. None reads what is there.
    remote : address of DVC's remote; None for the default.

    Raises
    ------
    AccidentsError
        If there is no such thing, or it cannot be read as what it seems to be.
    """
    if is_year(given):
        raw = raw_year(given, data, version, remote)
        return read_raw_year(raw.years[int(given)], given, data.source, raw.synthetic)
    path = _promised(given, version, remote) if version else _existing(given)
    if path.is_dir():
        return read_raw_year(_year_in(path, given), given, given, _is_synthetic(path))
    return read_accident_file(path, given)


def _existing(given: str) -> Path:
    path = Path(given).expanduser()
    if not path.exists():
        raise SourceError(
            f"--input {given}: there is no such file or folder, and it is no year such as 2022."
        )
    return path


def is_year(given: str) -> bool:
    """Whether `--input` names a year of the source, not a file or folder."""
    return re.fullmatch(r"\d{4}", given) is not None and not Path(given).exists()


def raw_year(
    given: str, data: DataSettings, version: str | None = None, remote: str | None = None
) -> RawData:
    """Have the raw files of a year that `--input` names."""
    settings = data.model_copy(update={"years": (int(given),)})
    return raw_of(version, settings, remote=remote) if version else fetch_raw(settings)


def _promised(given: str, version: str, remote: str | None) -> Path:
    """Return the file or folder if it is still what it was, else from DVC."""
    path = Path(given).expanduser()
    with suppress(AccidentsError, OSError):  # what is there elsewhere may be of others, or not for us to see
        if path.exists() and snapshot(_files(path, given), keep=False) == version:
            return path
    try:
        folder = restore(version, DATA / "versions" / version.removesuffix(".dir"), remote=remote)
    except SourceError as error:
        raise SourceError(f"--input {given} is not what it was when the run began. {error}") from None
    return folder / path.name if (folder / path.name).is_file() else folder


def _files(path: Path, given: str) -> dict[str, Path]:
    if not path.is_dir():
        return {path.name: path}
    files = _year_in(path, given)
    return layout({files.year: files})


def _year_in(path: Path, given: str) -> YearFiles:
    """Return the one year whose published files a folder holds."""
    years = find_years(path)
    if not years:
        raise SourceError(
            f"--input {given}: the folder holds no published files of a year. Give such a folder, a CSV or "
            "Parquet file of accidents, or a year."
        )
    if len(years) > 1:
        raise SourceError(
            f"--input {given}: the folder holds the years {', '.join(map(str, years))}. Give one of them, "
            f"with --source {given}."
        )
    (files,) = years.values()
    return files


def _is_synthetic(path: Path) -> bool:
    return any((folder / "SYNTHETIC.txt").exists() for folder in (path, path.parent))


def read_accident_file(path: Path, given: str | None = None) -> Intake:
    """Read a CSV or Parquet file with one row an accident.

    Raises DataError if it cannot be read, or names no column that tells a time or a place.
    """
    file = read_rows(path, sorted(_known()))
    _check_columns(path, list(file.columns))
    rows = Rows(file)
    tables = Tables(*accidents_and_places(rows), *vehicles_and_users(rows))
    pedestrian = rows.values("pedestrian", yes_or_no)
    given_rows = pd.DataFrame({ROW: np.arange(1, file.rows + 1), ID: pd.Series(_ids(rows), dtype="str")})
    reasons = [file.broken.get(k) or why for k, why in enumerate(missing_time_or_place(tables.accidents))]
    keep = np.array([not reason for reason in reasons], dtype=bool)
    unused = [name for name in file.columns if name not in _known()]
    facts = {
        "input": given or str(path),
        "source": "file",
        "synthetic": False,
        "warnings": _warnings(unused, sorted(rows.unknown_keys)),
        "blanked": dict(rows.blanked),
    }
    scored = given_rows.copy()
    scored[NOTES] = pd.Series(rows.notes(), dtype="str")
    scored[PEDESTRIAN] = np.array(pedestrian, dtype=np.float32)
    aside = given_rows.copy()
    aside["reason"] = pd.Series(list(map(_with_note, reasons, rows.notes())), dtype="str")
    return Intake(
        chosen(tables, keep),
        _beside(scored, file, unused)[keep].reset_index(drop=True),
        _beside(aside, file, list(file.columns))[~keep].reset_index(drop=True),
        facts=facts,
    )


def _with_note(reason: str, note: str) -> str:
    return f"{reason} ({note})" if note else reason


def _known() -> set[str]:
    return {*used("accidents"), *used("places"), *_OTHERS}


def _check_columns(path: Path, names: Sequence[str]) -> None:
    there = set(names) & _known()
    if not there:
        raise DataError(f"{path}: no column of its header is known ({', '.join(names[:5])}, ...). The first "
                        "line must name the columns, such as time, in double quotes or none.")  # fmt: skip
    if not there & {"time", "hour", "day"}:
        raise DataError(f"{path} has no column that tells the time: add `time` (2026-11-22T18:30), or year, "
                        "month, day and hour.")  # fmt: skip
    if not there & {"latitude", "department", "commune"}:
        raise DataError(f"{path} has no column that tells the place: add `latitude` and `longitude`, "
                        "`department` or `commune`.")  # fmt: skip


def _ids(rows: Rows) -> list[str | None]:
    """Ids as given; a row whose id another row had before says so."""
    ids = [str(cell).strip() or None for cell in rows.cells("accident_id")]
    first: dict[str, int] = {}
    for row, accident in enumerate(ids):
        if accident is not None and first.setdefault(accident, row) != row:
            rows.note(row, f"row {first[accident] + 1} has the same accident_id")
    return ids


def _warnings(columns: Sequence[str], keys: Sequence[str]) -> list[str]:
    warnings = [f"Columns that the model does not use, kept in the output: {', '.join(columns)}."]
    unknown = [f"Unknown keys, not used: {', '.join(keys)}."]
    return (warnings if columns else []) + (unknown if keys else [])


def _beside(frame: pd.DataFrame, file: RowFile, names: Sequence[str]) -> pd.DataFrame:
    """Return the frame with columns of the file as given.

    `given_` goes before a name that we use ourselves.
    """
    kept = {_free(name, file.columns): _as_text(file.columns[name]) for name in names}
    return pd.concat([frame, pd.DataFrame(kept, index=frame.index)], axis=1)


def _free(name: str, others: Collection[str]) -> str:
    """Return the name, or one that neither we nor another column of the file has."""
    free = name
    while free in _OURS or (free != name and free in others):
        free = f"given_{free}"
    return free


def _as_text(cells: Sequence[object]) -> pd.Series:
    return pd.Series([str(cell) for cell in cells], dtype="str")
