"""What steps hand on in place of data: which partitions there are, where, and what each holds.

Nothing here imports Dask: the steps of any engine name these types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.data.storage import exists, join, read_frame
from accidents.errors import SourceError
from accidents.features import feature_names
from accidents.strict import Strict
from accidents.training.place_encoder import PLACE
from accidents.training.split import Months, periods_of
from accidents.training.trained_model import matrix_of
from accidents.training.tree_inputs import LabelledRows
from engine.settings import DaskSettings

KEYS = ("accident_id", "year", "month", "severe")  # of every row, beside its features
Floats = npt.NDArray[np.float32]
Span = tuple[int, int]  # months since year 0: the first, and the one after the last


class RowPart(Strict):
    """One partition of rows of features: a Parquet file, and what its months hold (`Months`)."""

    name: str
    rows: int
    months: Mapping[int, int]
    unlabelled: int = 0
    undated: int = 0

    def chosen(self, span: Span) -> int:
        """How many rows with a label are of these months."""
        return sum(count for month, count in self.months.items() if span[0] <= month < span[1])


class PartitionedRows(Strict):
    """Rows of features, as `build_features` gives them, in the order of their partitions.

    Attributes
    ----------
    spans : with any, the rows are those with a label of these months: first all of the first span.
    """

    address: str
    stage: str
    parts: tuple[RowPart, ...]
    dask: DaskSettings
    spans: tuple[Span, ...] = ()

    def __len__(self) -> int:
        """How many rows."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def months(self) -> Months:
        """How many accidents with a label each month has, over all partitions."""
        return reduce(
            lambda some, part: some + Months(part.months, part.unlabelled, part.undated),
            self.parts,
            Months({}),
        )

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What there is to read, in order."""
        if not self.spans:
            return tuple(Piece(address=self.address, name=part.name, rows=part.rows) for part in self.parts)
        return tuple(
            Piece(
                address=self.address,
                name=part.name,
                rows=rows,
                span=span if rows < part.rows else None,
            )
            for span in self.spans
            for part in self.parts
            if (rows := part.chosen(span))
        )

    def of(self, span: Span) -> PartitionedRows:
        """Return the rows with a label of some months."""
        return self.model_copy(update={"spans": (span,)})

    def followed_by(self, *others: PartitionedRows) -> PartitionedRows:
        """Return these rows, and those of others of the same partitions behind them."""
        spans = (*self.spans, *(span for other in others for span in other.spans))
        return self.model_copy(update={"spans": spans})

    def require(self) -> None:
        """Raise SourceError if a partition is gone: a cached run remembers where they were."""
        gone = [part.name for part in self.parts if not exists(_file(self.address, part.name))]
        if gone:
            raise SourceError(
                f"{self.address}: {len(gone)} of {len(self.parts)} partitions are gone, such as {gone[0]}. "
                "Run again with --no-cache, which writes them anew."
            )


class Piece(Strict):
    """The rows of one partition, or those with a label of some months."""

    address: str
    name: str
    rows: int
    span: Span | None = None

    def read(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read the rows into this process, or some columns of them."""
        wanted = None if columns is None else [*dict.fromkeys([*columns, *(KEYS if self.span else ())])]
        frame = read_frame(_file(self.address, self.name), wanted)
        if self.span is not None:
            period = periods_of(frame[list(KEYS)])
            frame = frame[(period >= self.span[0]) & (period < self.span[1])].reset_index(drop=True)
        return frame if columns is None else frame[list(columns)]


def places_of(pieces: Sequence[Piece]) -> tuple[Floats, Floats]:
    """Return place float32 [n, 4], the columns `PLACE`, and labels float32 [n] of rows that all have one."""
    rows = sum(piece.rows for piece in pieces)
    place, y = np.empty((rows, len(PLACE)), dtype=np.float32), np.empty(rows, dtype=np.float32)
    start = 0
    for piece in pieces:
        frame = piece.read([*PLACE, "severe"])
        end = start + len(frame)
        place[start:end], y[start:end] = matrix_of(frame, PLACE), frame["severe"].to_numpy(dtype=np.float32)
        start = end
    return place, y


def labelled_rows(pieces: Sequence[Piece], stage: str) -> LabelledRows:
    """Return rows that all have a label, of which a partition at a time is in this process."""
    names = feature_names(stage)
    return LabelledRows(names, *places_of(pieces), _Stretches(pieces, names).read)


class _Stretches:
    """Reads features a stretch at a time, and keeps the partition that was read last."""

    def __init__(self, pieces: Sequence[Piece], names: tuple[str, ...]) -> None:
        self._pieces, self._names = pieces, names
        self._ends = np.cumsum([piece.rows for piece in pieces])
        self._kept: tuple[int, Floats] = (-1, np.empty((0, len(names)), dtype=np.float32))

    def read(self, start: int, stop: int) -> Floats:
        """Return features float32 [stop - start, k] of the rows from `start` up to `stop`."""
        first, last = np.searchsorted(self._ends, [start, stop - 1], side="right")
        parts = []
        for number in range(first, last + 1):
            before = int(self._ends[number]) - self._pieces[number].rows
            parts.append(self._matrix(number)[max(start - before, 0) : stop - before])
        return np.concatenate(parts)

    def _matrix(self, number: int) -> Floats:
        if self._kept[0] != number:
            self._kept = (number, matrix_of(self._pieces[number].read(self._names), self._names))
        return self._kept[1]


def _file(address: str, name: str) -> str:
    return join(address, f"{name}.parquet")
