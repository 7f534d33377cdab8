"""Rows of features as steps hand them on: a frame, or partitions on Dask, with the same questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import pandas as pd

from accidents.training.trained_model import Model
from engine import reading
from engine.cluster import disconnect_all
from engine.partitions import KEYS, PartitionedRows
from engine.reading import Doubles, Positions
from engine.settings import DaskSettings

Rows = pd.DataFrame | PartitionedRows


def frames(*rows: Rows) -> tuple[pd.DataFrame, ...]:
    """Return rows that are frames, as what they are."""
    return cast(tuple[pd.DataFrame, ...], rows)


def partitions(*rows: Rows) -> tuple[PartitionedRows, ...]:
    """Return rows that are in partitions, as what they are; none of them may be gone."""
    parts = cast(tuple[PartitionedRows, ...], rows)
    parts[0].require()
    return parts


def columns_of(rows: Rows, columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns of all rows, which the process can hold; the index counts from 0."""
    if not isinstance(rows, pd.DataFrame):
        return reading.columns_of(rows, columns)
    return rows[list(columns)]


def keys_of(*parts: Rows) -> pd.DataFrame:
    """Return accident_id, year, month and severe of all rows; the index counts from 0 in each part."""
    if isinstance(parts[0], pd.DataFrame):
        return pd.concat([columns_of(part, KEYS) for part in parts])
    first, *others = partitions(*parts)
    # Not by `concat`, in which all are there twice.
    keys = reading.keys_of(first.followed_by(*others))
    keys.index = pd.Index(np.concatenate([np.arange(len(part)) for part in parts]))
    return keys


def rows_at(parts: Sequence[Rows], positions: Positions) -> pd.DataFrame:
    """Return whole rows at positions among all parts behind one another, in the order given."""
    starts = np.cumsum([0, *map(len, parts)])
    pieces, at = [], []
    for part, start, end in zip(parts, starts, starts[1:], strict=False):
        here = np.flatnonzero((positions >= start) & (positions < end))
        wanted = positions[here] - start
        pieces.append(
            part.iloc[wanted] if isinstance(part, pd.DataFrame) else reading.rows_at(part.pieces, wanted)
        )
        at.append(here)
    together = pd.concat(pieces, ignore_index=True)
    ordered: pd.DataFrame = together.iloc[np.argsort(np.concatenate(at))].reset_index(drop=True)
    return ordered


def predicted(model: Model, rows: Rows) -> Doubles:
    """P(severe) of all rows, float64 [n]."""
    return model.predict_proba(rows) if isinstance(rows, pd.DataFrame) else reading.predicted(model, rows)


def some_of(rows: Rows, most: int, seed: int = 7) -> pd.DataFrame:
    """Return a frame as it is, and of partitions so many rows at most, drawn at random."""
    return rows if isinstance(rows, pd.DataFrame) else reading.rows_at(*reading.sampled(rows, most, seed))


@contextmanager
def on_engine(dask: DaskSettings | None) -> Iterator[None]:
    """End what steps of this process have started on the way, such as workers on this machine."""
    try:
        yield
    finally:
        if dask is not None:
            disconnect_all()
