"""What a bag of trees learns from, a stretch of rows at a time: all are only there in LightGBM's bins.

A column takes 4 bytes a row as a feature, 1 as a bin. So rows are read, joined with their places' rates,
hidden in part and put into LightGBM a stretch at a time (its `Sequence`): no matrix of all rows is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accidents.training.masking import hide
from accidents.training.place_encoder import PlaceEncoder, cross_fit
from accidents.training.trained_model import Floats, Layout, tree_columns

if TYPE_CHECKING:
    from lightgbm import Dataset

Positions = npt.NDArray[np.int64]

STRETCH = 100_000  # rows at once: some 20 MB
SAMPLE = 200_000  # rows that the bounds of bins are found on, as LightGBM's own default


@dataclass(frozen=True)
class LabelledRows:
    """Rows that can be read a stretch at a time, with what is needed of all of them.

    Attributes
    ----------
    names : the features, which are the columns of what `read` gives.
    place : float32 [n, 4], the columns `PLACE`.
    y : float32 [n], the labels.
    read : features float32 [stop - start, len(names)] of the rows from `start` up to `stop`.
    """

    names: tuple[str, ...]
    place: Floats
    y: Floats
    read: Callable[[int, int], Floats]

    @classmethod
    def of(cls, x: Floats, y: Floats, names: tuple[str, ...]) -> LabelledRows:
        """Return rows that are in memory."""
        return cls(names, Layout(names).place(x), y, lambda start, stop: x[start:stop])

    def __len__(self) -> int:
        """How many rows."""
        return len(self.y)

    def at(self, positions: Positions) -> Floats:
        """Return features float32 [len(positions), len(names)] of rows, positions rising."""
        if not len(positions):
            return np.empty((0, len(self.names)), dtype=np.float32)
        first, last = int(positions[0]), int(positions[-1])
        edges = np.searchsorted(positions, np.arange(first, last + 1 + STRETCH, STRETCH))
        near = [positions[a:b] for a, b in pairwise(edges) if b > a]
        parts = [self.read(int(at[0]), int(at[-1]) + 1)[at - at[0]] for at in near]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class TreeInputs:
    """Rows as the trees see them: those to learn from, and behind them a share again with some of it hidden.

    Parameters
    ----------
    rows : of which to learn.
    chosen : positions among `rows` of those to learn from, rising.
    masked : share of them that is learnt from again.
    scale : densities are told as if there were this many times the rows chosen.
    encoded : what places say of the rows chosen, where others than `rows` were counted too.
    """

    def __init__(
        self,
        rows: LabelledRows,
        chosen: Positions,
        masked: float,
        seed: int,
        scale: float,
        encoded: Floats | None = None,
    ) -> None:
        self._rows, self._seed = rows, seed
        self._columns = tree_columns(rows.names)
        y = rows.y[chosen]
        # Cross-fitted before rows are repeated, so that no copy of a row tells another its label.
        self._encoded = cross_fit(rows.place[chosen], y, seed, scale=scale) if encoded is None else encoded
        self._chosen = chosen
        self._again = np.flatnonzero(np.random.default_rng(seed).random(len(y)) < masked)
        self.labels: Floats = np.concatenate([y, y[self._again]])

    def __len__(self) -> int:
        """How many rows, repeated ones included."""
        return len(self.labels)

    def rows(self, start: int, stop: int) -> Floats:
        """Return tree inputs float32 [stop - start, columns]."""
        first = len(self._chosen)
        parts = []
        if start < first:
            parts.append(self._whole(np.arange(start, min(stop, first))))
        if stop > first:
            parts.append(self._hidden(max(start, first) - first, stop - first))
        return np.concatenate(parts)

    def stretches(self) -> Iterator[tuple[int, Floats]]:
        """Yield all rows with the number of the first, `STRETCH` at a time."""
        for start in range(0, len(self), STRETCH):
            yield start, self.rows(start, min(start + STRETCH, len(self)))

    def sample(self, most: int) -> Floats:
        """Return `most` rows drawn at random, in their order; all where there are fewer."""
        drawn = np.zeros(len(self), dtype=bool)
        drawn[np.random.default_rng(self._seed).permutation(len(self))[:most]] = True
        return np.concatenate([rows[drawn[start : start + len(rows)]] for start, rows in self.stretches()])

    def _whole(self, positions: Positions) -> Floats:
        """Return the inputs of some of the rows chosen, by their position among these."""
        x = self._rows.at(self._chosen[positions])
        return Layout(self._rows.names).join(x, self._encoded[positions])

    def _hidden(self, start: int, stop: int) -> Floats:
        whole = self._whole(self._again[start:stop])
        return hide(whole, self._columns, self._seed, start, len(self._again))


def dataset_of(inputs: TreeInputs, params: dict[str, Any]) -> Dataset:
    """Return the rows in bins, whose bounds are found on `SAMPLE` of them."""
    from lightgbm import Dataset

    if len(inputs) <= SAMPLE:
        return Dataset(inputs.rows(0, len(inputs)), inputs.labels, params=params)
    return binned(inputs, inputs.sample(SAMPLE), len(inputs), params)


def binned(inputs: TreeInputs, sample: Floats, total: int, params: dict[str, Any]) -> Dataset:
    """Return the rows in bins, whose bounds are found on a sample of `total` rows: these, or more."""
    from lightgbm import Dataset, Sequence

    class Stretches(Sequence):  # type: ignore[misc, unused-ignore]
        batch_size = STRETCH

        def __init__(self, of: TreeInputs) -> None:  # in no closure: a class lives on, and all inputs would
            self.of = of

        def __len__(self) -> int:
            return len(self.of)

        def __getitem__(self, at: Any) -> Floats:
            return self.of.rows(at.start, at.stop)

    # A feature that no leaf can be made of is left out; of the sample, as if it were all, rare ones would be.
    least = params["min_child_samples"] * len(sample) // total
    params = {**params, "min_child_samples": max(least, 1)}
    bounds = Dataset(sample, params=params).construct()
    del sample  # 60 MB
    return Dataset(Stretches(inputs), inputs.labels, reference=bounds, params=params).construct()


def unseen_inputs(rows: LabelledRows, held: npt.NDArray[np.bool_], scale: float) -> Floats:
    """Tree inputs float32 [held, columns] of the rows held out, with places counted on the others."""
    layout = Layout(rows.names)
    encoder = PlaceEncoder.fit(rows.place[~held], rows.y[~held], scale)
    positions = np.flatnonzero(held)
    within = np.searchsorted(positions, np.arange(0, len(rows) + STRETCH, STRETCH))
    x = [rows.at(positions[a:b]) for a, b in pairwise(within) if b > a]
    x_held = np.concatenate(x) if x else rows.at(positions)
    return layout.join(x_held, encoder.transform(rows.place[positions]))
