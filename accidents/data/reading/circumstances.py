"""Columns of accidents that are not one raw column each: date, time, department, commune and coordinates."""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from accidents.data.reading.cell_parsers import LAST_OLD_YEAR, MISSING, Cell, parser
from accidents.data.reading.insee import department_of, is_old_form, parse_commune, parse_department
from accidents.data.reading.raw_columns import NO_YEAR, Index, Source, read_cells, typed
from accidents.data.reading.raw_files import KEY
from accidents.data.tables import DTYPES
from accidents.geography import coordinates
from accidents.vocabulary.codes import Column, columns
from accidents.vocabulary.normal_form import plain

_NO_LEAP_YEAR = 2001


def read_circumstances(source: Source, ids: npt.NDArray[np.int64]) -> dict[str, object]:
    """Return the columns of accidents that are not one raw column each: time, date and place.

    `ids` are the accidents' ids, negative where there is none.
    """
    raw, year, dtypes = source.raw, source.year, DTYPES["accidents"]
    by_raw = {column.raw: column for column in columns("accidents")}
    years = _years(source, by_raw["an"], ids)
    data: dict[str, object] = {"year": pd.array(years.astype(np.int16), dtype="Int16")}
    if "hrmn" in raw.columns:
        minutes, index = read_cells(source, by_raw["hrmn"], parser(by_raw["hrmn"], year))
        data["hour"] = typed([None if each is None else int(each) // 60 for each in minutes], index, "Int8")
        data["minute"] = typed([None if each is None else int(each) % 60 for each in minutes], index, "Int8")
    if {"jour", "mois"} <= raw.columns.keys():
        data |= _date(source, by_raw["jour"], by_raw["mois"], years)
    departments, communes, index = _place(source, by_raw["dep"], by_raw["com"])
    data["department"] = typed(departments, index, dtypes["department"])
    data["commune"] = typed(communes, index, dtypes["commune"])
    if {"lat", "long"} & raw.columns.keys():
        data["latitude"], data["longitude"] = _coordinates(source, departments, index)
    return data


def year_of(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the year that an accident's id begins with."""
    return ids // 100_000_000


def _years(source: Source, an: Column, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the year of each accident: what two of id, date and file name say; else what its id says.

    Raises DataError if most are not of the year that the file is named after.
    """
    of_id = np.where(ids > 0, year_of(ids), source.year)
    stated = np.full(source.raw.rows, NO_YEAR)
    texts = source.raw.columns.get(an.raw)
    if texts is not None:
        values, index = read_cells(source, an, parser(an, source.year))
        stated = np.array([NO_YEAR if value is None else int(value) for value in values])[index]
    years = np.where(stated == source.year, source.year, of_id)
    source.check_year(KEY, years)
    rule = f"of another year than {source.raw.path.name} says, by accident id and date, which are kept"
    source.note("year", rule, "warned", years != source.year, texts)
    other = (stated != NO_YEAR) & (stated != years)
    source.note("year", "not the year of the accident id, which is kept", "repaired", other, texts)
    return years


def _date(source: Source, day: Column, month: Column, years: npt.NDArray[np.int64]) -> dict[str, object]:
    """Month and day; a day that its month does not have is blanked."""
    days, day_index = read_cells(source, day, parser(day, source.year))
    months, month_index = read_cells(source, month, parser(month, source.year))
    usual = [31 if each is None else monthrange(_NO_LEAP_YEAR, int(each))[1] for each in months]
    february = np.array([each == 2 for each in months])[month_index]
    leap = np.isin(years, [year for year in np.unique(years) if isleap(year)])
    last = np.array(usual)[month_index] + (february & leap)
    late = np.array([0 if each is None else int(each) for each in days])[day_index] > last
    source.note("day", "not a day of its month", "blanked", late, source.raw.columns["jour"])
    index = np.where(late, len(days), day_index)
    return {"month": typed(months, month_index, "Int8"), "day": typed([*days, None], index, "Int8")}


def _place(source: Source, dep: Column, com: Column) -> tuple[list[str | None], list[str | None], Index]:
    """Departments and communes of the distinct pairs of both, and the pair of each row."""
    rows = source.raw.rows
    departments, dep_index = _departments(source, dep)
    communes: list[str] = [""]
    com_index: Index = np.zeros(rows, dtype=np.int64)
    if com.raw in source.raw.columns:
        encoded = source.raw.columns[com.raw]
        communes, com_index = (
            [plain(text) for text in encoded.dictionary.to_pylist()],
            encoded.indices.to_numpy(),
        )
    pairs, index = np.unique(dep_index.astype(np.int64) * len(communes) + com_index, return_inverse=True)
    known = [departments[pair // len(communes)] for pair in pairs]
    cells = [
        parse_commune(communes[pair % len(communes)], each) for pair, each in zip(pairs, known, strict=True)
    ]
    _note_place(source, known, cells, index)
    codes = [None if cell.value is None else str(cell.value) for cell in cells]
    filled = [
        each or (department_of(code) if code else None) for each, code in zip(known, codes, strict=True)
    ]
    return filled, codes, index


def _departments(source: Source, dep: Column) -> tuple[list[str | None], Index]:
    if dep.raw not in source.raw.columns:
        return [None], np.zeros(source.raw.rows, dtype=np.int64)
    encoded = source.raw.columns[dep.raw]
    counts = np.bincount(encoded.indices.to_numpy(), minlength=len(encoded.dictionary))
    old = is_old_form(dict(zip(encoded.dictionary.to_pylist(), counts.tolist(), strict=True)), source.year)
    if old != (source.year <= LAST_OLD_YEAR):
        source.add("department", "written in the form of other years", "noted", source.raw.rows)
    values, index = read_cells(source, dep, partial(parse_department, old=old))
    return [None if value is None else str(value) for value in values], index


def _note_place(
    source: Source, departments: Sequence[str | None], communes: Sequence[Cell], index: Index
) -> None:
    """Report communes that could not be read, and those that give or contradict the department."""
    texts = source.raw.columns.get("com")
    for rule in dict.fromkeys(cell.rule for cell in communes if cell.action):
        hit = np.array([cell.rule == rule for cell in communes])
        source.note("commune", rule, "blanked", hit[index], texts)
    homes = [department_of(str(cell.value)) if cell.value else None for cell in communes]
    given = np.array(
        [home is not None and each is None for home, each in zip(homes, departments, strict=True)]
    )
    other = np.array(
        [None not in (home, each) and home != each for home, each in zip(homes, departments, strict=True)]
    )
    source.note("department", "taken from the commune", "repaired", given[index], texts)
    source.note("commune", "of another department", "noted", other[index], texts)
    absent = np.array([cell == MISSING for cell in communes])
    if texts is not None:
        source.add("commune", "missing", "noted", int(absent[index].sum()))


def _coordinates(source: Source, departments: Sequence[str | None], index: Index) -> tuple[object, object]:
    """Latitude and longitude in degrees, both or neither."""
    texts = source.raw.columns.get("lat")
    latitude, longitude = _degrees(source, "lat"), _degrees(source, "long")
    zero = (latitude == 0) | (longitude == 0)
    half = ~zero & (np.isnan(latitude) != np.isnan(longitude))
    latitude[zero | half] = longitude[zero | half] = np.nan
    source.note("latitude", "0 is unknown", "noted", zero, texts)
    source.note("latitude", "only one of latitude and longitude", "blanked", half, texts)
    scaled = coordinates.to_degrees(latitude, longitude)
    source.note("latitude", "published x 100000", "noted", scaled, texts)
    outcome = coordinates.locate(latitude, longitude, departments, index)
    source.note("latitude", "sign lost overseas", "repaired", outcome == coordinates.SIGN_LOST, texts)
    source.note(
        "latitude", "latitude and longitude swapped", "repaired", outcome == coordinates.SWAPPED, texts
    )
    source.note(
        "latitude", "outside its department or France", "blanked", outcome == coordinates.OUTSIDE, texts
    )
    source.add("latitude", "missing", "noted", int(np.isnan(latitude).sum()))
    return latitude, longitude


def _degrees(source: Source, raw: str) -> npt.NDArray[np.float64]:
    """Coordinates as published, NaN where missing; text that is no number is reported."""
    texts = source.raw.columns.get(raw)
    if texts is None:
        return np.full(source.raw.rows, np.nan)
    cleaned = pc.replace_substring(pc.utf8_trim_whitespace(texts), ",", ".")
    empty = pc.is_in(cleaned, pa.array(["", ".", "-"]))
    try:
        numbers = pc.cast(pc.if_else(empty, None, cleaned), pa.float64())
    except pa.ArrowInvalid:
        numbers = pa.array([_number(text) for text in cleaned.to_pylist()], pa.float64())
    values: npt.NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False).copy()
    bad = ~np.isfinite(values) & ~empty.to_numpy(zero_copy_only=False)
    values[bad] = np.nan
    source.note("latitude" if raw == "lat" else "longitude", "not a number", "blanked", bad, texts)
    return values


def _number(text: str) -> float | None:
    try:
        return float("".join(text.split()))
    except ValueError:
        return None
