"""Cells of an accident file to values, column by column; every cell that is lost is noted on its row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from accidents.data.reading.cell_parsers import Cell
from accidents.data.reading.insee import department_of, parse_commune
from accidents.data.tables import DTYPES
from accidents.features.features_by_stage import FEATURES
from accidents.geography import coordinates
from accidents.geography.departments import department_at
from accidents.scoring.batch import row_parsers
from accidents.scoring.batch.row_files import RowFile
from accidents.scoring.batch.row_parsers import Parser, shortened
from accidents.vocabulary.codes import column
from accidents.vocabulary.normal_form import plain

Values = list[Any]  # one per row; None: not known
_TIME = ("year", "month", "day", "hour")
_PLACE = ("department", "commune", "latitude", "longitude")


@cache
def used(table: str) -> tuple[str, ...]:
    """Columns of a table that features are computed from, in the table's order."""
    sources = {source for feature in FEATURES for source in feature.compute.sources}
    return tuple(name for name in DTYPES[table] if name != "accident_id" and (table, name) in sources)


class Rows:
    """The rows of a file and what there is to note on each."""

    def __init__(self, file: RowFile) -> None:
        self.file = file
        self.blanked: Counter[str] = Counter()
        self.unknown_keys: set[str] = set()  # of vehicles and users
        self._notes: dict[int, list[str]] = {}

    def note(self, row: int, text: str) -> None:
        """Add a note to a row (from 0)."""
        self._notes.setdefault(row, []).append(text)

    def blank(self, row: int, name: str, value: Any, rule: str) -> None:
        """Note and count a cell that cannot be used."""
        self.blanked[name] += 1
        self.note(row, f"{name} {shortened(value)}: {rule}; taken as not known")

    def notes(self) -> list[str]:
        """Return the notes of each row in one text."""
        return ["; ".join(self._notes.get(row, ())) for row in range(self.file.rows)]

    def cells(self, name: str) -> list[Any]:
        """Return the cells of a column; empty texts where the file has no such column."""
        return self.file.columns.get(name, [""] * self.file.rows)

    def values(self, name: str, parse: Parser) -> Values:
        """Parse a column, each distinct text once."""
        texts = [cell if isinstance(cell, str) else str(cell) for cell in self.cells(name)]
        known = {text: parse(text) for text in dict.fromkeys(texts)}
        self._note_cells(name, texts, known)
        return [known[text].value for text in texts]

    def _note_cells(self, name: str, texts: Sequence[str], known: Mapping[str, Cell]) -> None:
        remarkable = {text: cell for text, cell in known.items() if cell.action}
        if not remarkable:
            return
        for row, text in enumerate(texts):
            if (cell := remarkable.get(text)) is None:
                continue
            if cell.action == "blanked":
                self.blank(row, name, text, cell.rule)
            else:
                self.note(row, f"{name} {shortened(text)}: {cell.rule}; read as {cell.value}")


def accidents_and_places(rows: Rows) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the two tables with one row an accident; `accident_id` is the row's number, from 1."""
    accidents = {**_times(rows), **_places(rows)}
    for name in used("accidents"):
        if name not in accidents:
            accidents[name] = rows.values(name, row_parsers.parser_of(name, "accidents"))
    places = {name: rows.values(name, row_parsers.parser_of(name, "places")) for name in used("places")}
    return _table("accidents", accidents, rows.file.rows), _table("places", places, rows.file.rows)


def _table(table: str, columns: Mapping[str, Values], rows: int) -> pd.DataFrame:
    data: dict[str, Any] = {"accident_id": np.arange(1, rows + 1, dtype=np.int64)}
    data |= {name: pd.Series(values, dtype=DTYPES[table][name]) for name, values in columns.items()}
    return pd.DataFrame(data)


def _times(rows: Rows) -> dict[str, Values]:
    """Year, month, day and hour: from `time`, and from columns of their own where `time` says nothing."""
    parts = {name: rows.values(name, row_parsers.parser_of(name, "accidents")) for name in _TIME}
    for row, text in enumerate(rows.cells("time")):
        moment, wrong = row_parsers.date_and_time(str(text))
        if wrong:
            rows.blank(row, "time", text, wrong)
        for name, value in moment.items():
            if name in parts:
                parts[name][row] = value
    for row, (year, month, day) in enumerate(zip(parts["year"], parts["month"], parts["day"], strict=True)):
        if None not in (year, month, day) and not row_parsers.is_date(year, month, day):
            rows.blank(row, "day", f"{year}-{month:02}-{day:02}", "not a date of the calendar")
            parts["day"][row] = None
    return parts


def _places(rows: Rows) -> dict[str, Values]:
    departments = rows.values("department", row_parsers.code(column("department", "accidents")))
    communes = _communes(rows, departments)
    known = [
        department or (department_of(commune) if commune else None)
        for department, commune in zip(departments, communes, strict=True)
    ]
    latitude, longitude = _coordinates(rows, known)
    for row, (department, north, east) in enumerate(zip(known, latitude, longitude, strict=True)):
        if department is None and north is not None and east is not None:
            known[row] = department_at(north, east)  # as the API does
    return dict(zip(_PLACE, (known, communes, latitude, longitude), strict=True))


def _communes(rows: Rows, departments: Values) -> Values:
    """INSEE codes; a commune of up to three digits is completed by its department."""
    parsed: dict[tuple[str, Any], Cell] = {}
    communes: Values = []
    for row, pair in enumerate(zip(map(str, rows.cells("commune")), departments, strict=True)):
        if pair not in parsed:
            parsed[pair] = parse_commune(plain(pair[0]), pair[1])
        cell = parsed[pair]
        if cell.action:
            rows.blank(row, "commune", pair[0], cell.rule)
        communes.append(cell.value)
    return communes


def _coordinates(rows: Rows, departments: Values) -> tuple[Values, Values]:
    """Both or neither, in degrees and in the department; what is repaired or lost is noted."""
    pair = [rows.values(name, row_parsers.degrees) for name in ("latitude", "longitude")]
    latitude, longitude = (np.array([np.nan if x is None else x for x in column]) for column in pair)
    for row in np.flatnonzero(np.isnan(latitude) != np.isnan(longitude)):
        rows.note(int(row), "only one of latitude and longitude is known; neither is used")
        latitude[row] = longitude[row] = np.nan
    given = list(zip(latitude.tolist(), longitude.tolist(), strict=True))
    coordinates.to_degrees(latitude, longitude)
    names = list(dict.fromkeys(departments))
    index = np.array([names.index(department) for department in departments], dtype=np.intp)
    outcome = coordinates.locate(latitude, longitude, names, index)
    for row in np.flatnonzero(outcome):
        if outcome[row] == coordinates.OUTSIDE:
            rows.blank(int(row), "coordinates", given[row], "outside of France or of the department")
        else:
            place = f"{latitude[row]:.4f}, {longitude[row]:.4f}"
            rows.note(
                int(row), f"coordinates {shortened(given[row])}: swapped or without a sign; read as {place}"
            )
    return latitude.tolist(), longitude.tolist()
