"""One raw file to one frame with our names and types."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from accidents.data.reading.cell_parsers import parser
from accidents.data.reading.circumstances import read_circumstances, year_of
from accidents.data.reading.raw_columns import NO_YEAR, Mask, Source, read_cells, typed
from accidents.data.reading.raw_files import KEY, TOLERATED, RawFile
from accidents.data.tables import DTYPES
from accidents.vocabulary.codes import cautions, columns
from accidents.vocabulary.normal_form import plain

IDENTITY = "_identity"  # helper column: what tells rows of an accident apart, -1 where nothing does
_ACCIDENT_ID = re.compile(r"(?:19|20)[0-9]{10}")
# The publisher's own key of a row within its accident, best first.
_IDENTITIES = {"vehicles": ("id_vehicule", "num_veh"), "users": ("id_usager",)}


def read_frame(source: Source) -> pd.DataFrame:
    """Return the file as a frame of the columns of `DTYPES` and IDENTITY.

    Rows without accident id are left out.
    """
    raw, dtypes = source.raw, DTYPES[source.raw.table]
    ids, good = _accident_ids(source)
    data: dict[str, object] = {"accident_id": ids}
    if raw.table == "accidents":
        data |= read_circumstances(source, ids)
    for column in columns(raw.table):
        if column.name and column.name in dtypes and column.name not in data and column.raw in raw.columns:
            values, index = read_cells(source, column, parser(column, source.year))
            data[column.name] = typed(values, index, dtypes[column.name])
    _note_columns(source)
    for name, dtype in dtypes.items():
        if name not in data:
            data[name] = typed([None], np.zeros(raw.rows, dtype=np.int8), dtype)
    frame = pd.DataFrame({name: data[name] for name in dtypes} | {IDENTITY: _identity(source)}, copy=False)
    _apply_cautions(source, frame)
    return frame if good.all() else frame[good].reset_index(drop=True)


def _accident_ids(source: Source) -> tuple[npt.NDArray[np.int64], Mask]:
    """Accident ids, and where there is one. Raises DataError if more than a few rows have none."""
    raw = source.raw
    texts = raw.columns[KEY]
    ids = _plain_ids(texts)
    if ids is None:
        encoded = texts.dictionary_encode()
        cells = [plain(text) for text in encoded.dictionary.to_pylist()]
        numbers = np.array(
            [int(text) if _ACCIDENT_ID.fullmatch(text) else -1 for text in cells], dtype=np.int64
        )
        ids = numbers[encoded.indices.to_numpy()]
    good = ids > 0
    if not good.all():
        blank = ~good & _blank_rows(raw)
        source.note("accident_id", "blank row", "dropped", blank)
        _drop_without_id(source, ~good & ~blank)
    _check_year(source, ids, good)
    return ids, good


def _plain_ids(texts: pa.Array) -> npt.NDArray[np.int64] | None:
    """Ids where every cell is twelve digits and nothing else, as published; None otherwise."""
    try:
        ids = pc.cast(texts, pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return ids if ((ids >= 190_000_000_000) & (ids < 210_000_000_000)).all() else None


def _blank_rows(raw: RawFile) -> Mask:
    blank = np.ones(raw.rows, dtype=bool)
    for texts in raw.columns.values():
        blank &= pc.equal(pc.utf8_trim_whitespace(_decoded(texts)), "").to_numpy(zero_copy_only=False)
    return blank


def _decoded(texts: pa.Array) -> pa.Array:
    return texts.dictionary_decode() if isinstance(texts, pa.DictionaryArray) else texts


def _drop_without_id(source: Source, bad: Mask) -> None:
    """Report a few rows without a readable accident id; refuse a file that has many."""
    raw = source.raw
    if bad.sum() > TOLERATED * raw.rows:
        row = int(bad.argmax())
        raise raw.refuse(
            row,
            KEY,
            f"{raw.columns[KEY][row].as_py()!r} is not an accident id (year and eight digits) "
            f"in {bad.sum()} of {raw.rows} rows",
            "A spreadsheet may have rewritten the ids: download the file again.",
        )
    source.note("accident_id", "no accident id", "dropped", bad, raw.columns[KEY])


def _check_year(source: Source, ids: npt.NDArray[np.int64], good: Mask) -> None:
    """Note accidents whose ids are of another year than the file's name says.

    Raises DataError if most rows are of such accidents. The accidents' own table has a further word in this,
    its dates: `read_circumstances` looks at them, and other tables may hold what it took.
    """
    years = np.where(good, year_of(ids), NO_YEAR)
    if source.raw.table != "accidents":
        source.check_year(KEY, np.where(np.isin(ids, source.accidents), source.year, years))
    other = good & (years != source.year)
    source.note("accident_id", "accident id of another year", "noted", other, source.raw.columns[KEY])


def _identity(source: Source) -> npt.NDArray[np.int32]:
    """Return each row's number of the publisher's own key (digits of an id, or a label), -1 where none is."""
    for raw in _IDENTITIES.get(source.raw.table, ()):
        texts = source.raw.columns.get(raw)
        if texts is not None:
            pattern = "[^0-9]" if raw.startswith("id_") else r"\s"
            keys = pc.replace_substring_regex(_decoded(texts), pattern, "").dictionary_encode()
            empty = np.array([key == "" for key in keys.dictionary.to_pylist()])
            index = keys.indices.to_numpy()
            if not empty[index].all():
                return np.where(empty[index], -1, index).astype(np.int32)
    return np.full(source.raw.rows, -1, dtype=np.int32)


def _note_columns(source: Source) -> None:
    """Report columns of the year that the file lacks, columns nobody knows, and rows of another width."""
    raw = source.raw
    for column in columns(raw.table):
        if column.name and column.raw not in raw.columns and column.published_in(source.year):
            source.add(column.name, "column is not in the file", "noted", raw.rows)
    for name in raw.extra:
        source.add(name, "unknown column, not read", "noted", raw.rows)
    lines = ", ".join(map(str, raw.broken[:5]))
    source.add(
        "", "row with another number of fields", "dropped", len(raw.broken), f"{raw.path.name}, line {lines}"
    )


def _apply_cautions(source: Source, frame: pd.DataFrame) -> None:
    """Blank or note columns that this year recorded differently."""
    for each in cautions():
        if each.first <= source.year <= each.last and each.column in frame:
            present = frame[each.column].notna().to_numpy()
            if each.action == "blanked":
                frame[each.column] = typed(
                    [None], np.zeros(len(frame), dtype=np.int8), DTYPES[source.raw.table][each.column]
                )
            source.note(each.column, each.note, "blanked" if each.action == "blanked" else "noted", present)
