"""One raw column to one typed column; every cell that is changed or lost goes on the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionArray

from accidents.data.quality import Action, QualityReport
from accidents.data.reading.cell_parsers import Cell
from accidents.data.reading.raw_files import RawFile
from accidents.vocabulary.codes import Column

NO_YEAR = 0
Index = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]
Array = ExtensionArray | npt.NDArray[np.floating]


@dataclass(frozen=True)
class Source:
    """A raw file, the year that it is read as, and the report that findings go to.

    `accidents` are the ids of the year's accidents, as far as they have been read.
    """

    raw: RawFile
    year: int
    report: QualityReport
    accidents: npt.NDArray[np.int64]

    def note(self, column: str, rule: str, action: Action, rows: Mask, texts: pa.Array | None = None) -> None:
        """Report the rows where `rows` holds; the example is the first of them."""
        count = int(rows.sum())
        if count:
            first = int(rows.argmax())
            text = f": {texts[first].as_py()!r}" if texts is not None else ""
            example = f"{self.raw.path.name}, line {self.raw.lines[first]}{text}"
            self.add(column, rule, action, count, example)

    def check_year(self, column: str, years: npt.NDArray[np.integer]) -> None:
        """Refuse a file that is named after another year than the one that most of its rows are of."""
        values, counts = np.unique(years, return_counts=True)
        year = int(values[counts.argmax()])
        if counts.max() * 2 > len(years) and year not in (self.year, NO_YEAR):
            raise self.raw.refuse(
                int((years == year).argmax()),
                column,
                f"the accidents are of {year}, but the file name says {self.year}",
                "Rename the file after the year that it holds.",
            )

    def add(self, column: str, rule: str, action: Action, count: int, example: str = "") -> None:
        """Report a count of rows of this file, those of another width too."""
        table, rows = self.raw.table, self.raw.rows + len(self.raw.broken)
        self.report.add(self.year, table, column, rule, action, rows=rows, count=count, example=example)


def read_cells(
    source: Source, column: Column, parse: Callable[[str], Cell]
) -> tuple[list[int | float | str | None], Index]:
    """Parse each distinct text once. Returns the values and, for each row, which of them it has."""
    texts = source.raw.columns[column.raw]
    encoded = texts if isinstance(texts, pa.DictionaryArray) else texts.dictionary_encode()
    index = encoded.indices.to_numpy()
    cells = [parse(text) for text in encoded.dictionary.to_pylist()]
    for finding in dict.fromkeys((cell.action, cell.rule) for cell in cells if cell.action):
        action, rule = finding
        hit = np.array([(cell.action, cell.rule) == finding for cell in cells])
        source.note(column.name or column.raw, rule, action, hit[index], texts)
    absent = np.array([cell.value is None and cell.action is None for cell in cells])
    if column.name and absent.any():
        source.add(column.name, "missing", "noted", int(absent[index].sum()))
    return [cell.value for cell in cells], index


def typed(values: Sequence[object], index: Index, dtype: str) -> Array:
    """Column of a table's type whose row i is `values[index[i]]`; None is missing."""
    if dtype == "str":
        texts: Array = pd.array(pa.array(values, pa.large_string()).take(pa.array(index)), dtype="str")
        return texts
    absent = np.array([value is None for value in values])
    if dtype.startswith("float"):
        floats: Array = np.array([np.nan if value is None else value for value in values], dtype=dtype)[index]
        return floats
    numbers = np.array([0 if value is None else value for value in values], dtype=dtype.lower())
    integers: ExtensionArray = pd.arrays.IntegerArray(numbers[index], absent[index])
    return integers
