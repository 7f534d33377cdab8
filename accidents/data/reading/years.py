"""The raw files of a year to typed tables: rules between rows and between tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.data.quality import Action, QualityReport
from accidents.data.reading.one_road_per_accident import further_roads
from accidents.data.reading.raw_columns import Source
from accidents.data.reading.raw_files import read_raw
from accidents.data.reading.raw_tables import IDENTITY, read_frame
from accidents.data.sources.year_files import YearFiles
from accidents.data.tables import DTYPES, Tables, chosen, concat
from accidents.errors import DataError
from accidents.progress import track
from accidents.vocabulary.codes import TABLES, raw_table

FIRST_YEAR_OF_FLED_DRIVERS = 2021  # since then drivers who fled are listed as users nobody saw
DRIVER = 1
_NONE_KNOWN = np.zeros(0, dtype=np.int64)
_YEAR = re.compile(r"(?:19|20)\d\d")


def read_years(years: Mapping[int, YearFiles]) -> tuple[Tables, QualityReport]:
    """Read several years, one after another, and put them behind one another in the order given.

    Raises DataError if there is no year, or for the first file that cannot be read.
    """
    if not years:
        raise DataError(
            "There are no years to read. Name at least one year, or a folder that holds published files."
        )
    parts: list[Tables] = []
    report = QualityReport()
    # Two at once: parsing leaves Python's lock for most of its time. The order stays, also of errors.
    with ThreadPoolExecutor(max_workers=2) as pool:
        for tables, findings in track(pool.map(read_year, years.values()), "reading years", len(years)):
            known = (part.accidents["accident_id"].to_numpy() for part in parts)
            parts.append(without_known(tables, known, findings))
            report += findings
    return concat(parts), report


def without_known(
    tables: Tables, earlier: Iterable[npt.NDArray[np.int64]], report: QualityReport, of: int | None = None
) -> Tables:
    """Leave out accidents that the files of an earlier year, whose ids are given, hold too.

    `of` is how many accidents the year has, where the tables are a part of it.
    """
    ids = tables.accidents["accident_id"]
    again = np.zeros(len(ids), dtype=bool)
    for known in earlier:
        again |= np.isin(ids, known)
    if not again.any():
        return tables
    year = int(tables.accidents.loc[again, "year"].iloc[0])
    rule = "also in the files of another year, which are read"
    example = f"accident {ids[again].iloc[0]}"
    rows, count = len(ids) if of is None else of, int(again.sum())
    report.add(year, "accidents", "", rule, "dropped", rows=rows, count=count, example=example)
    return chosen(tables, ~again)


def read_year(files: YearFiles) -> tuple[Tables, QualityReport]:
    """Read the files of a year, whatever tables and columns it lacks.

    Every accident of the files is in the tables or counted as dropped in the report. Raises DataError, naming
    file, line, column and remedy, for a file that cannot be read as what its name says.
    """
    report = QualityReport()
    _warn_of_files(files, report)
    frames = {"accidents": _read_table("accidents", files, report, _NONE_KNOWN)}
    ids = frames["accidents"]["accident_id"].to_numpy(dtype=np.int64)
    frames |= {table: _read_table(table, files, report, ids) for table in TABLES[1:]}
    log = _Log(files.year, report, {table: len(frame) for table, frame in frames.items()})
    if files.caracteristiques is None:
        frames["accidents"] = _accidents_from_others(frames, log)
    accidents = _one_row_each(frames["accidents"], "accidents", log)
    belonging = {table: _without_orphans(frames[table], table, accidents, log) for table in TABLES[1:]}
    places = _one_place_each(belonging["places"], accidents, log)
    vehicles = _without_copies(belonging["vehicles"], "vehicles", log)
    users = _without_copied_drivers(_without_copies(belonging["users"], "users", log), log)
    _note_gaps(accidents, vehicles, users, log)
    finished = (accidents, places, vehicles, users)
    return Tables(*(frame.drop(columns=IDENTITY, errors="ignore") for frame in finished)), report


def _warn_of_files(files: YearFiles, report: QualityReport) -> None:
    """Say which files beside the tables nothing reads, and which folder is called after another year."""
    paths = list(files.paths.values())
    if files.unused:
        names = ", ".join(path.name for path in files.unused[:3]) + (", ..." if len(files.unused) > 3 else "")
        there = len(files.unused) + len(paths)
        rule = "files whose names are no published table's, not read"
        report.add(files.year, "", "", rule, "warned", rows=there, count=len(files.unused), example=names)
    elsewhere = [
        path for path in paths if _YEAR.fullmatch(path.parent.name) and path.parent.name != str(files.year)
    ]
    if elsewhere:
        first = f"{elsewhere[0].parent.name}/{elsewhere[0].name}"
        rule = "file in a folder that is called after another year; the file's name is taken"
        report.add(files.year, "", "", rule, "warned", rows=len(paths), count=len(elsewhere), example=first)


@dataclass(frozen=True)
class _Log:
    """Findings about whole rows of one year's tables, with an accident as the example."""

    year: int
    report: QualityReport
    rows: Mapping[str, int]

    def add(
        self,
        table: str,
        column: str,
        rule: str,
        action: Action,
        accidents: pd.Series | np.ndarray,
        of: int | None = None,
    ) -> None:
        """Report one row of the table, or one `of` so many, for each of `accidents`."""
        example = f"accident {np.asarray(accidents)[0]}" if len(accidents) else ""
        self.report.add(
            self.year,
            table,
            column,
            rule,
            action,
            rows=self.rows[table] if of is None else of,
            count=len(accidents),
            example=example,
        )


def _read_table(
    table: str, files: YearFiles, report: QualityReport, accidents: npt.NDArray[np.int64]
) -> pd.DataFrame:
    """Return the frame of one table; empty, and noted, where there is no file.

    `accidents` are the ids of the year's accidents, as far as they have been read.
    """
    path = files.paths.get(raw_table(table))
    if path is None:
        report.add(files.year, table, "", "there is no file of this table", "noted", rows=1, count=1)
        empty = {name: pd.Series(dtype=dtype) for name, dtype in DTYPES[table].items()}
        return pd.DataFrame(empty | {IDENTITY: pd.Series(dtype="int32")})
    raw = read_raw(path, table, files.year)
    return read_frame(Source(raw, files.year, report, accidents))


def _accidents_from_others(frames: Mapping[str, pd.DataFrame], log: _Log) -> pd.DataFrame:
    """Accidents known by their ids alone, where there is no caracteristiques file."""
    ids = pd.unique(pd.concat([frames[table]["accident_id"] for table in TABLES[1:]]))
    if not len(ids):
        raise DataError(
            f"{log.year}: there is no file of this year. Give at least its caracteristiques file."
        )
    frame = frames["accidents"].reindex(range(len(ids)))
    frame["accident_id"], frame["year"] = ids.astype("int64"), pd.array([log.year] * len(ids), dtype="Int16")
    log.add("accidents", "", "known by their ids in the other tables alone", "noted", ids, len(ids))
    return frame.astype(DTYPES["accidents"])


def _one_row_each(frame: pd.DataFrame, table: str, log: _Log) -> pd.DataFrame:
    """Drop copies of an accident's row; of rows that contradict each other the first is kept."""
    if frame["accident_id"].is_unique:
        return frame
    frame = _drop(frame, frame.duplicated(), table, "copy of another row", log)
    again = frame["accident_id"].duplicated()
    return _drop(frame, again, table, "contradicts an earlier row of the accident, which is kept", log)


def _drop(
    frame: pd.DataFrame, rows: pd.Series | npt.NDArray[np.bool_], table: str, rule: str, log: _Log
) -> pd.DataFrame:
    """Drop and report the rows where `rows` holds."""
    if not rows.any():
        return frame
    log.add(table, "", rule, "dropped", frame.loc[rows, "accident_id"])
    return frame[~rows].reset_index(drop=True)


def _without_orphans(frame: pd.DataFrame, table: str, accidents: pd.DataFrame, log: _Log) -> pd.DataFrame:
    """Drop rows of accidents that are not in the accidents table."""
    orphan = ~np.isin(frame["accident_id"].to_numpy(), accidents["accident_id"].to_numpy())
    return _drop(frame, orphan, table, "its accident is not in caracteristiques", log)


def _one_place_each(frame: pd.DataFrame, accidents: pd.DataFrame, log: _Log) -> pd.DataFrame:
    """One place per accident, in the order of `accidents`."""
    if not frame["accident_id"].is_unique:
        frame = _drop(frame, frame.duplicated(), "places", "copy of another row", log)
        further = further_roads(frame)
        frame = _drop(frame, further, "places", "further road of the accident; the fastest is kept", log)
    ids = accidents["accident_id"]
    if frame["accident_id"].equals(ids):
        return frame
    absent = ids[~ids.isin(frame["accident_id"])]
    log.add("places", "", "accident without a row", "noted", absent, len(ids))
    return frame.set_index("accident_id").reindex(ids).reset_index().astype(DTYPES["places"])


def _without_copies(frame: pd.DataFrame, table: str, log: _Log) -> pd.DataFrame:
    """Of rows with the same key in the same accident keep the first, whether they agree or not."""
    known = frame[IDENTITY].to_numpy() >= 0
    if pd.Index(_pairs(frame, frame[IDENTITY].to_numpy())[known]).is_unique:
        return frame
    frame = _drop(frame, known & frame.duplicated().to_numpy(), table, "copy of another row", log)
    known = frame[IDENTITY].to_numpy() >= 0
    again = known & frame.duplicated(["accident_id", IDENTITY]).to_numpy()
    return _drop(frame, again, table, "contradicts an earlier row of the same key, which is kept", log)


def _without_copied_drivers(users: pd.DataFrame, log: _Log) -> pd.DataFrame:
    """Drop copies of a driver's row: a vehicle has one driver.

    Up to 2020 users have no key, and two passengers or pedestrians may well be alike: those are kept.
    """
    if not users["vehicle_id"].notna().any():
        return users
    drivers = users[_is_driver(users) & users["vehicle_id"].notna()]
    again = drivers[drivers.duplicated(["accident_id", "vehicle_id"], keep=False)]
    if again.empty:
        return users
    copies = users.index.isin(again.index[again.duplicated()])
    log.add("users", "role", "several drivers of one vehicle", "noted", again["accident_id"])
    return _drop(users, copies, "users", "copy of another row", log)


def _note_gaps(accidents: pd.DataFrame, vehicles: pd.DataFrame, users: pd.DataFrame, log: _Log) -> None:
    """Note accidents without vehicles or users, drivers who fled, and users of unlisted vehicles."""
    ids = accidents["accident_id"].to_numpy()
    for table, frame in (("vehicles", vehicles), ("users", users)):
        if log.rows[table]:
            without = ids[~np.isin(ids, frame["accident_id"].to_numpy())]
            log.add(table, "", "accident without a row", "noted", without, len(ids))
    if log.year >= FIRST_YEAR_OF_FLED_DRIVERS:
        fled = _is_driver(users) & users["sex"].isna() & users["birth_year"].isna()
        log.add(
            "users",
            "severity",
            "driver who fled: unharmed may mean unknown",
            "noted",
            users.loc[fled, "accident_id"],
        )
    if users["vehicle_id"].notna().any() and len(vehicles):
        labels, _ = pd.factorize(pd.concat([users["vehicle_id"], vehicles["vehicle_id"]]))
        of_users, of_vehicles = labels[: len(users)], labels[len(users) :]
        listed = pd.Series(_pairs(users, of_users)).isin(_pairs(vehicles, of_vehicles)).to_numpy()
        unlisted = users.loc[~listed & (of_users >= 0), "accident_id"]
        log.add("users", "vehicle_id", "their vehicle is not in vehicules", "noted", unlisted)


def _is_driver(users: pd.DataFrame) -> pd.Series:
    return (users["role"] == DRIVER).fillna(False)


def _pairs(frame: pd.DataFrame, numbers: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """One number for each accident and number (below 2^20) in it."""
    pairs: npt.NDArray[np.int64] = frame["accident_id"].to_numpy(dtype=np.int64) * 2**20 + numbers
    return pairs
