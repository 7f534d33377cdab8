"""Hiding what a caller may not say, so that the trees learn what an accident means of which little is known.

In the published files hardly a field is empty; on the phone most are. Trees that have never seen a missing
value send it down an arbitrary branch: with no coordinates they gave 0.83 on average where 0.35 was right.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from accidents.features.features_by_stage import FEATURES
from accidents.training.place_encoder import PLACE, PlaceEncoder

Floats = npt.NDArray[np.float32]

_COORDINATES = "coordinates"
_VEHICLES = {("vehicles", "accident_id"), ("vehicles", "category")}


def groups(columns: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the group's number of each tree column: what is said in one word is known, or not, together."""
    keys = [_group(column) for column in columns]
    order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([order[key] for key in keys])


def hide(
    matrix: Floats, columns: Sequence[str], seed: int, start: int = 0, rows: int | None = None
) -> Floats:
    """Return a copy of tree inputs [n, columns] with groups hidden at random, NaN.

    Each row has a share of its own that is hidden, evenly spread over 0 to 1: from nearly all known to nearly
    nothing. A stretch of `rows` from row `start` on is hidden as it would be with all the others.
    """
    group = groups(columns)
    wide = int(group.max()) + 1
    share = _drawn(seed, start, (len(matrix), 1))
    behind_shares = len(matrix) if rows is None else rows
    hidden = _drawn(seed, behind_shares + start * wide, (len(matrix), wide)) < share
    masked = matrix.copy()
    masked[hidden[:, group]] = np.nan
    return masked


def _drawn(seed: int, skipped: int, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return what `default_rng(seed)` gives after so many numbers: each takes a step of the generator."""
    bits = np.random.PCG64(seed)
    bits.advance(skipped)
    return np.random.Generator(bits).random(shape)


def _group(column: str) -> Hashable:
    if column in PlaceEncoder.columns:
        name = column.removeprefix("severity_")
        return name if name in PLACE else _COORDINATES
    if column in PLACE:
        return _COORDINATES
    sources = frozenset(_SOURCES[column])
    return "vehicles" if sources <= _VEHICLES else sources


_SOURCES = {feature.name: feature.compute.sources for feature in FEATURES}
