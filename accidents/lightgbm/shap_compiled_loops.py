"""The compiled part of shap_values.py: importing it imports numba (0.5 s), so do it when it is used.

Unsigned indices spare numba the test for negative ones, which costs a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

P = ParamSpec("P")
T = TypeVar("T")
Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uintp]
Four = tuple[float, float, float, float]

POINTS = 4  # of a quadrature that one walk takes: one register of a processor
_BLOCK = 16  # rows that a tree explains in turn, while it is in the processor's cache
MOST_SPLITS = 64  # bits of a word: more splits than that cannot be remembered by `explain_many`
_SLOTS = 2  # of its table, for each row at least
_SCATTER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing


class Trees(NamedTuple):
    """Some trees, in the order of a walk and as small as can be: reading them takes much of the time.

    A tree's edges are numbered: the left one of its i-th split is 1 + 2 i, the right one 2 + 2 i. 0 is the
    way into the tree, which every row takes.

    Attributes
    ----------
    splits, first : splits of each tree, and where they begin, uint32 [trees].
    feature : column of each split, uint32 [splits].
    threshold : a value <= it goes to the left, float64 [splits].
    nan_left : bool [splits].
    at : the edge that leads to a split, uint32 [splits].
    above : the nearest edge above that is of a split on the same feature, uint32 [splits]; 0: there is none.
    share : of each edge, share r of the training rows that meet all conditions on its feature, [2 splits].
    value : score of the leaf that an edge leads to; 1 where it leads to a split, [2 splits].
    used, first_used : the features that each tree splits on, and where in `used` a tree's begin; one more
        entry at the end.
    """

    splits: npt.NDArray[np.uint32]
    first: npt.NDArray[np.uint32]
    feature: npt.NDArray[np.uint32]
    threshold: Doubles
    nan_left: npt.NDArray[np.bool_]
    at: npt.NDArray[np.uint32]
    above: npt.NDArray[np.uint32]
    share: Doubles
    value: Doubles
    used: Indices
    first_used: Indices


class Walk(NamedTuple):
    """What a walk through one tree remembers.

    Of each split the edge the row takes; of each edge whether the row meets all conditions on its feature,
    the product of the factors, and 1 / (r + t (1 - r)).
    """

    taken: Indices
    meets: npt.NDArray[np.bool_]
    product: Doubles
    inverse: Doubles


def _compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Machine code that frees the interpreter, kept on disk where a folder for it can be written."""
    try:
        compiled = njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # numba found no such folder
        compiled = njit(nogil=True, error_model="numpy")(function)
    return compiled


@_compiled
def _walk(trees: Trees) -> Walk:
    edges = 2 * max(trees.splits) + 1
    walk = Walk(
        np.empty(edges, np.uintp), np.empty(edges, np.bool_),
        np.empty((edges, POINTS)), np.ones((edges, POINTS)),
    )  # fmt: skip
    walk.meets[0] = True
    return walk


@_compiled
def explain(rows: npt.NDArray[np.float32], trees: Trees, points: Four, weights: Four, out: Doubles) -> None:
    """Add to `out` [n, columns + 1] what some points of the quadrature give for `rows` [n, columns]."""
    columns = rows.shape[1]
    total = np.empty((_BLOCK, columns, POINTS))
    walk = _walk(trees)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        total[:] = 0
        for tree in range(np.uintp(len(trees.splits))):
            for k in range(len(block)):
                _down(block[k], trees, tree, points, weights, walk)
                _up(trees, tree, points, walk, total[k])
        for k in range(len(block)):
            for column in range(columns):
                out[start + k, column] += total[k, column].sum()


@_compiled
def explain_many(
    rows: npt.NDArray[np.float32], trees: Trees, points: Four, weights: Four, out: Doubles
) -> None:
    """`explain`, to rounding, for thousands of rows and trees of at most MOST_SPLITS splits.

    A tree gives rows that go the same way at all of its splits the same values: they are computed once. Of
    30,000 accidents, one in four or five is new to a tree.
    """
    n, columns = rows.shape
    bits = np.uint64(1)
    while (1 << bits) < _SLOTS * n:
        bits += np.uint64(1)
    last = np.uint64((1 << bits) - 1)
    keys, entries = np.empty(1 << bits, np.uint64), np.empty(1 << bits, np.int64)
    ways = np.empty(n, np.uint64)
    remembered = np.empty((n, columns))
    total = np.zeros((columns, POINTS))
    walk = _walk(trees)
    by_column = rows.T.copy()
    for tree in range(np.uintp(len(trees.splits))):
        used = trees.used[trees.first_used[tree] : trees.first_used[tree + np.uintp(1)]]
        _ways(by_column, trees, tree, ways)
        entries[:] = -1
        known = 0
        for k in range(n):
            slot = (ways[k] * _SCATTER) >> (np.uint64(64) - bits)
            while entries[slot] >= 0 and keys[slot] != ways[k]:
                slot = (slot + np.uint64(1)) & last
            if entries[slot] < 0:
                keys[slot], entries[slot] = ways[k], known
                for column in used:
                    total[column] = 0
                _down(rows[k], trees, tree, points, weights, walk)
                _up(trees, tree, points, walk, total)
                for i in range(len(used)):
                    remembered[known, i] = total[used[i]].sum()
                known += 1
            entry = entries[slot]
            for i in range(len(used)):
                out[k, used[i]] += remembered[entry, i]


@_compiled
def _ways(by_column: npt.NDArray[np.float32], trees: Trees, tree: int, ways: npt.NDArray[np.uint64]) -> None:
    """Of each row, a bit for each split of a tree: whether the row goes to the left there."""
    ways[:] = 0
    first = np.uintp(trees.first[tree])
    for i in range(np.uintp(trees.splits[tree])):
        s = first + i
        values, threshold, nan_left = (
            by_column[np.uintp(trees.feature[s])],
            trees.threshold[s],
            trees.nan_left[s],
        )
        for k in range(len(ways)):
            x = np.float64(values[k])
            goes_left = (x <= threshold) | ((x != x) & nan_left)
            ways[k] |= np.uint64(goes_left) << np.uint64(i)


@_compiled
def _down(
    row: npt.NDArray[np.float32], trees: Trees, tree: int, points: Four, weights: Four, walk: Walk
) -> None:
    """Multiply the factors from the way into the tree to every leaf, and the leaf's value with them."""
    taken, meets, product, inverse = walk
    first = np.uintp(trees.first[tree])
    before = first + first - np.uintp(1)  # an edge's place in the arrays is this and its number
    for q in range(POINTS):
        product[0, q] = weights[q]
    for i in range(np.uintp(trees.splits[tree])):
        s = first + i
        x = np.float64(row[np.uintp(trees.feature[s])])
        goes_left = (x <= trees.threshold[s]) | ((x != x) & trees.nan_left[s])
        left, right = np.uintp(1) + i + i, np.uintp(2) + i + i
        a, b = (left, right) if goes_left else (right, left)
        taken[i] = a
        at, above = np.uintp(trees.at[s]), np.uintp(trees.above[s])
        share = trees.share[before + a]
        met, missed = trees.value[before + a] * share, trees.value[before + b] * trees.share[before + b]
        meets[a], meets[b] = meets[above], False
        if meets[above]:
            unmet = trees.value[before + a] * (1 - share)
            for q in range(POINTS):
                inverse[a, q] = 1 / (share + points[q] * (1 - share))
            for q in range(POINTS):
                rest = product[at, q] * inverse[above, q]
                product[a, q] = rest * (met + points[q] * unmet)
                product[b, q] = rest * missed * (1 - points[q])
        else:  # the row fails a condition on this feature already: only the shares change
            undo = 1 / trees.share[before + above]
            for q in range(POINTS):
                rest = product[at, q] * undo
                product[a, q] = rest * met
                product[b, q] = rest * missed


@_compiled
def _up(trees: Trees, tree: int, points: Four, walk: Walk, total: Doubles) -> None:
    """Add up the leaves below every edge; an edge takes back what the one above it gave."""
    taken, meets, product, inverse = walk
    first, splits = np.uintp(trees.first[tree]), np.uintp(trees.splits[tree])
    before = first + first - np.uintp(1)
    for j in range(splits):
        i = splits - np.uintp(1) - j
        a = taken[i]
        b = np.uintp(4) * i + np.uintp(3) - a
        at, above = np.uintp(trees.at[first + i]), np.uintp(trees.above[first + i])
        if meets[above]:
            feature = np.uintp(trees.feature[first + i])
            gain = 1 - trees.share[before + a]
            undone = 1 - trees.share[before + above] if above else 0.0
            for q in range(POINTS):
                both = product[a, q] + product[b, q]
                total[feature, q] += (
                    product[a, q] * gain * inverse[a, q]
                    - product[b, q] / (1 - points[q])
                    - both * undone * inverse[above, q]
                )
                product[at, q] = both
        else:
            for q in range(POINTS):
                product[at, q] = product[a, q] + product[b, q]
