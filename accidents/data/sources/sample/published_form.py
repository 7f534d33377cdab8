"""Write a synthetic year in the form its files were published in, quirks and all (see codes.yaml's eras).

Up to 2018: comma, latin-1, two-digit year, padded digits, coordinates x 100000, empty for missing.
Since 2019: semicolon, utf-8, decimal comma, HH:MM, no-break spaces within ids, " -1" and "(1)" for missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.data.sources.sample.new_form import new_tables
from accidents.data.sources.sample.old_form import old_tables
from accidents.data.sources.sample.tables import Columns
from accidents.data.sources.year_files import TABLES, YearFiles
from accidents.files import write_whole

NEW_FORM_SINCE = 2019


def file_names(year: int) -> dict[str, str]:
    """Official file name of each table of a year."""
    characteristics = "caracteristiques" if year <= 2020 else "carcteristiques" if year <= 2022 else "caract"
    joint = "_" if year <= 2016 else "-"
    tables = {
        "caracteristiques": characteristics,
        "lieux": "lieux",
        "vehicules": "vehicules",
        "usagers": "usagers",
    }
    return {table: f"{name}{joint}{year}.csv" for table, name in tables.items()}


def year_files(folder: Path, year: int) -> YearFiles:
    """Where the four raw tables of a year are in its folder."""
    names = file_names(year)
    return YearFiles(year, *(folder / names[table] for table in TABLES))


def write_year(folder: Path, year: int, tables: dict[str, pd.DataFrame]) -> YearFiles:
    """Write the four raw tables of a year into `folder`, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    files = year_files(folder, year)
    for table, path in files.paths.items():
        write_whole(path, _as_text(tables[table], table, year))
    return files


def _as_text(table: pd.DataFrame, name: str, year: int) -> bytes:
    """Return the bytes of one file in its year's dialect."""
    if year >= NEW_FORM_SINCE:
        return (table.to_csv(sep=";", index=False, lineterminator="\n") + "\n").encode("utf-8")
    separator = "\t" if (name, year) == ("caracteristiques", 2009) else ","
    ends = "\r\n" if name in ("lieux", "vehicules") else "\n"
    return table.to_csv(sep=separator, index=False, lineterminator=ends).encode("latin-1")


def raw_tables(
    rng: np.random.Generator, year: int, a: Columns, v: Columns, u: Columns, severity: npt.NDArray[Any]
) -> dict[str, pd.DataFrame]:
    """Return the four published tables of a year; `severity` (users,) is their severity code."""
    serial = year * 10**8 + 1 + np.arange(len(a["hour"]))
    make = new_tables if year >= NEW_FORM_SINCE else old_tables
    return make(rng, year, serial, a, v, {**u, "severity": severity})
