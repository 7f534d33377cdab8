"""Little of many rows, in this process: some columns, some rows, what a model gives of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.training.drawn_rows import drawn
from accidents.training.trained_model import Model
from engine.models import publish, published
from engine.partitions import KEYS, PartitionedRows, Piece
from engine.tasks import each

Doubles = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]  # among all rows, from 0


def columns_of(rows: PartitionedRows, columns: Sequence[str]) -> pd.DataFrame:
    """Read some columns of all rows into this process: ask for few.

    Each goes to its place as it is read: pieces that are put together afterwards are there twice.
    """
    names = list(dict.fromkeys(columns))
    together: dict[str, np.ndarray] = {}
    start = 0
    for piece in rows.pieces:
        frame, end = piece.read(names), start + piece.rows
        arrays = {name: frame[name].to_numpy() for name in names}
        together = together or {name: np.empty(len(rows), array.dtype) for name, array in arrays.items()}
        for name, array in arrays.items():
            together[name][start:end] = array
        start = end
    return pd.DataFrame(together, columns=names, copy=False)


def keys_of(rows: PartitionedRows) -> pd.DataFrame:
    """Read accident_id, year, month and severe of all rows: 15 bytes each."""
    return columns_of(rows, KEYS)


def rows_at(pieces: Sequence[Piece], positions: Positions | None) -> pd.DataFrame:
    """Whole rows at some positions, in the order given; all of them for None."""
    if positions is None:
        return pd.concat([piece.read() for piece in pieces], ignore_index=True)
    frames = list(_selected(pieces, positions))
    together = pd.concat(frames, ignore_index=True) if frames else pieces[0].read().head(0)
    order = np.argsort(np.argsort(positions, kind="stable"), kind="stable")
    return together.iloc[order].reset_index(drop=True)


def sampled(rows: PartitionedRows, most: int, seed: int) -> tuple[tuple[Piece, ...], Positions | None]:
    """Return what `rows_at` takes for so many rows at most, drawn at random, in their order."""
    return rows.pieces, drawn(len(rows), most, seed)


def predicted(model: Model, rows: PartitionedRows) -> Doubles:
    """P(severe) of all rows, float64 [n], each partition scored by a worker."""
    where = publish(model, rows.address)
    named = [(piece.name, (where, piece)) for piece in rows.pieces]
    return np.concatenate([np.zeros(0), *each(rows.dask, _predict_one, named, "Scoring")])


def _predict_one(where: str, piece: Piece) -> Doubles:
    return published(where).predict_proba(piece.read())


def _selected(pieces: Sequence[Piece], positions: Positions) -> Iterator[pd.DataFrame]:
    """Yield the rows wanted of each piece that has any, positions rising."""
    wanted, start = np.sort(positions), 0
    for piece in pieces:
        here = wanted[(wanted >= start) & (wanted < start + piece.rows)] - start
        if len(here):
            yield piece.read().iloc[here]
        start += piece.rows
