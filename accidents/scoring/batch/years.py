"""A raw year to score: its rows are those of the caracteristiques file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.data.reading import read_years
from accidents.data.reading.raw_files import KEY, read_raw
from accidents.data.sources.year_files import YearFiles
from accidents.data.tables import Tables, chosen
from accidents.scoring.batch.intake import (
    ID,
    NOTES,
    PEDESTRIAN,
    ROW,
    Intake,
    id_texts,
    missing_time_or_place,
    repeated,
)
from accidents.vocabulary.normal_form import plain

Lines = npt.NDArray[np.int64]


def read_raw_year(files: YearFiles, given: str, source: str, synthetic: bool) -> Intake:
    """Read the published files of one year. Raises DataError where they are no such thing."""
    tables, quality = read_years({files.year: files})
    tables = tables.validate()
    row_of, others = _row_numbers(files, tables)
    reasons = missing_time_or_place(tables.accidents)
    keep = reasons == ""
    ids = id_texts(tables.accidents)
    rows = pd.DataFrame({ROW: row_of, ID: ids, NOTES: repeated("", len(ids)), PEDESTRIAN: np.float32(np.nan)})
    aside = pd.DataFrame({ROW: row_of, ID: ids, "reason": pd.array(reasons, dtype="str")})[~keep]
    set_aside = pd.concat([aside, others]).sort_values(ROW).reset_index(drop=True)
    order = rows[keep].reset_index(drop=True)
    facts = {
        "input": given,
        "source": source,
        "synthetic": synthetic,
        "warnings": quality.warnings(),
        "blanked": {},
    }
    return Intake(chosen(tables, keep), order, set_aside, quality, facts)


def _row_numbers(files: YearFiles, tables: Tables) -> tuple[np.ndarray, pd.DataFrame]:
    """Return each accident's raw row, from 1, and the raw rows that reading left out, with the reason."""
    empty = pd.DataFrame({ROW: pd.array([], "int64"), ID: pd.array([], "str"), "reason": pd.array([], "str")})
    if files.caracteristiques is None:  # known by the other tables alone: numbered as they came
        return np.arange(1, len(tables.accidents) + 1), empty
    raw = read_raw(files.caracteristiques, "accidents", files.year)
    texts = pd.Series([plain(text) for text in raw.columns[KEY].to_pylist()], dtype="str")
    number = pd.to_numeric(texts, errors="coerce").fillna(-1).astype("int64")
    first = number.isin(tables.accidents[ID]) & ~number.duplicated()
    rows = np.flatnonzero(first.to_numpy())
    if not np.array_equal(number[first].to_numpy(), tables.accidents[ID].to_numpy()):
        rows = rows[pd.Index(number[first]).get_indexer(pd.Index(tables.accidents[ID]))]
    left = np.flatnonzero(~first.to_numpy())
    reason = np.where(
        number[left].isin(tables.accidents[ID]), "an earlier row has the same accident id", "no accident id"
    )
    broken = np.array(raw.broken, dtype=np.int64)
    at, at_broken = _ranks(raw.lines, broken)
    others = pd.DataFrame({ROW: at[left], ID: texts[left], "reason": pd.array(reason, dtype="str")})
    torn = [f"another number of fields than the header (line {line})" for line in raw.broken]
    parts = [others, pd.DataFrame({ROW: at_broken, ID: pd.array([None] * len(torn), "str"), "reason": torn})]
    return at[rows], pd.concat([part for part in parts if len(part)] or [empty])


def _ranks(lines: Lines, broken: Lines) -> tuple[Lines, Lines]:
    """Count each row and each broken row in their file, from 1, by the lines that they are on."""
    ranks = np.concatenate([lines, broken]).argsort().argsort() + 1
    return ranks[: len(lines)], ranks[len(lines) :]
