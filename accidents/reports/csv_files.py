"""CSV files for people: spreadsheets open them, so no cell of theirs may be taken for a formula."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# What a spreadsheet takes for a formula at the start of a cell. Where it separates by `;` or not at all as
# we do, a new cell begins after each of these, too.
_BEGIN = r'(?:^|[;\t\r\n]"*)'
_SIGNS = r"[=+\-@\t\r\n＝＋－＠]"
_SUSPECT = _BEGIN + _SIGNS
_NUMBER = r'[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?(?:[;\t\r\n"]|\Z)'
_FORMULA = re.compile(rf"({_BEGIN})(?={_SIGNS})(?!{_NUMBER})")


def write_csv(frame: pd.DataFrame, path: Path, raw: bool = False) -> None:
    """Write a frame without its index. Unless `raw`, a text that begins as a formula gets a `'` before it.

    Numbers stay as they are, those in text columns too: -1.5 is no formula.
    """
    if not raw:
        frame = pd.DataFrame({_harmless(str(name)): neutral(column) for name, column in frame.items()})
    frame.to_csv(path, index=False, quoting=_quoting(frame))


def _quoting(frame: pd.DataFrame) -> Literal[0, 2]:
    """All texts in quotes if one has a carriage return.

    Python before 3.13 would leave it bare, and readers begin a new row there.
    """
    texts = [column.dropna() for _, column in frame.items() if not pd.api.types.is_numeric_dtype(column)]
    bare = any("\r" in name for name in map(str, frame.columns)) or any(
        text.astype("str").str.contains("\r", regex=False).any() for text in texts
    )
    return csv.QUOTE_NONNUMERIC if bare else csv.QUOTE_MINIMAL


def neutral(texts: pd.Series) -> pd.Series:
    """Return the column with `'` before each text that a spreadsheet would compute."""
    if pd.api.types.is_numeric_dtype(texts):
        return texts
    shown = texts if isinstance(texts.dtype, pd.StringDtype) else texts.astype("str")
    suspect = pc.match_substring_regex(pa.array(shown, pa.large_string(), from_pandas=True), _SUSPECT)
    at = np.flatnonzero(pc.fill_null(suspect, False).to_numpy(zero_copy_only=False))
    if not len(at):
        return texts
    changed = texts.copy()
    changed.iloc[at] = [_harmless(text) for text in shown.iloc[at]]
    return changed


def _harmless(text: str) -> str:
    return _FORMULA.sub(r"\1'", text)
