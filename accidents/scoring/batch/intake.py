"""What came in: the accidents that can be scored, and the rows that cannot, with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from accidents.data.quality import QualityReport
from accidents.data.table_files import load_tables, save_tables
from accidents.data.tables import Tables

ROW, ID, NOTES, PEDESTRIAN = "row", "accident_id", "notes", "pedestrian_given"
_TIME, _PLACE = ("hour", "year", "month", "day"), ("latitude", "department", "commune")


@dataclass(frozen=True)
class Intake:
    """Every row of an input is either in `rows` or in `set_aside`, both in the input's order.

    Attributes
    ----------
    tables : the accidents to score.
    rows : one row for each of `tables.accidents`: `row` (from 1), `accident_id` as given (None: none given),
        `notes`, `pedestrian_given` (1, 0, or NaN where no such cell was), then the input's columns that are
        not used.
    set_aside : `row`, `accident_id`, `reason`, then the input's columns as given.
    quality : what reading a raw year found.
    facts : JSON-ready: `input`, `source`, `synthetic`, `warnings`, `blanked` (bad cells by column).
    """

    tables: Tables
    rows: pd.DataFrame
    set_aside: pd.DataFrame
    quality: QualityReport = field(default_factory=QualityReport)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many rows the input had."""
        return len(self.rows) + len(self.set_aside)

    def save(self, folder: Path) -> None:
        """Write everything into an existing folder."""
        save_tables(folder, self.tables, self.quality)
        self.rows.to_parquet(folder / "rows.parquet", index=False)
        self.set_aside.to_parquet(folder / "set_aside.parquet", index=False)
        (folder / "facts.json").write_text(json.dumps(dict(self.facts)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Intake:
        """Read what `save` wrote."""
        tables, quality = load_tables(folder)
        rows, set_aside = (pd.read_parquet(folder / f"{name}.parquet") for name in ("rows", "set_aside"))
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        return cls(tables, rows, set_aside, quality, facts)


def missing_time_or_place(accidents: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Per accident why it cannot be scored; an empty text where it can.

    A time is an hour or a date, a place coordinates, a département or a commune: less says nothing.
    """
    known = {name: accidents[name].notna().to_numpy() for name in (*_TIME, *_PLACE)}
    has_date = known["year"] & known["month"] & known["day"]
    has_time = known["hour"] | has_date
    has_place = known["latitude"] | known["department"] | known["commune"]
    why = np.array(
        [
            "no time and no place",
            "no place: neither coordinates nor department nor commune are known",
            "no time: neither hour nor date is known",
            "",
        ],
        dtype=object,
    )
    reasons: npt.NDArray[np.object_] = why[has_time + 2 * has_place]
    return reasons


def id_texts(accidents: pd.DataFrame) -> pd.Series[str]:
    """Return the accidents' ids as texts: pandas' own way takes ten times as long."""
    texts = pa.array(accidents[ID]).cast(pa.large_string())
    return pd.Series(pd.array(texts, dtype="str"), index=accidents.index)


def repeated(text: str, rows: int) -> pd.Series[str]:
    """Return a column of one text."""
    return pd.Series(text, index=pd.RangeIndex(rows), dtype="str")
