"""The compiled part of accidents.explanation: importing it imports numba (0.5 s), so do it when it is used.

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

_BLOCK = 16  # rows that a tree explains in turn, while it is in the processor's cache
MOST_SPLITS = 64  # bits of a word: more splits than that cannot be remembered by `explain_many`
_SLOTS = 2  # of its table, for each row at least
_SCATTER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing


class Trees(NamedTuple):
    """A `Forest` with what quadrature needs to know of every edge; an edge goes by the node it leads to.

    Attributes
    ----------
    splits, first_split, first_node : of each tree.
    feature, threshold, nan_left, left, right : of each split, as in `Forest`.
    above : of each split, the nearest edge above that is of a split on the same feature; 0 if there is none.
    share : of each node, the share r of training rows that meet the conditions on the feature of its edge;
        of a tree's first node 1.
    used, first_used : the features that each tree splits on, and where in `used` a tree's begin; one more
        entry at the end.
    met, unmet : of each node, value * r and value * (1 - r).
    inverse : of each node and point t, 1 / (r + t (1 - r)), float64 [nodes, points].
    """

    splits: Indices
    first_split: Indices
    first_node: Indices
    feature: Indices
    threshold: Doubles
    nan_left: npt.NDArray[np.bool_]
    left: Indices
    right: Indices
    above: Indices
    share: Doubles
    used: Indices
    first_used: Indices
    met: Doubles
    unmet: Doubles
    inverse: Doubles


class Walk(NamedTuple):
    """What a walk through one tree remembers: of each split the child the row takes and the other one, of
    each node whether the row meets all conditions on its edge's feature, and the product of the factors.
    """

    taken: Indices
    other: Indices
    meets: npt.NDArray[np.bool_]
    product: Doubles


def _compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Machine code that frees the interpreter, kept on disk where a folder for it can be written."""
    try:
        compiled = njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # numba found no such folder
        compiled = njit(nogil=True, error_model="numpy")(function)
    return compiled


@_compiled
def explain(
    rows: npt.NDArray[np.float32],
    trees: Trees,
    points: tuple[float, ...],
    weights: tuple[float, ...],
    out: Doubles,
) -> None:
    """Write the SHAP values of `rows` [n, columns] into the first columns of `out` [n, columns + 1]."""
    columns = rows.shape[1]
    total = np.empty((_BLOCK, columns, len(points)))
    nodes = 2 * max(trees.splits) + 1
    walk = Walk(
        np.empty(nodes, np.uintp), np.empty(nodes, np.uintp),
        np.empty(nodes, np.bool_), np.empty((nodes, len(points))),
    )  # fmt: skip
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        total[:] = 0
        for tree in range(np.uintp(len(trees.splits))):
            for k in range(len(block)):
                _down(block[k], trees, tree, points, walk)
                _up(trees, tree, points, walk, total[k])
        for k in range(len(block)):
            _integrate(total[k], weights, out[start + k])


@_compiled
def explain_many(
    rows: npt.NDArray[np.float32],
    trees: Trees,
    points: tuple[float, ...],
    weights: tuple[float, ...],
    out: Doubles,
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
    total = np.zeros((columns, len(points)))
    nodes = 2 * max(trees.splits) + 1
    walk = Walk(
        np.empty(nodes, np.uintp), np.empty(nodes, np.uintp),
        np.empty(nodes, np.bool_), np.empty((nodes, len(points))),
    )  # fmt: skip
    by_column = rows.T.copy()
    out[:, :columns] = 0
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
                _down(rows[k], trees, tree, points, walk)
                _up(trees, tree, points, walk, total)
                for i in range(len(used)):
                    remembered[known, i] = _integral(total[used[i]], weights)
                known += 1
            entry = entries[slot]
            for i in range(len(used)):
                out[k, used[i]] += remembered[entry, i]


@_compiled
def _ways(by_column: npt.NDArray[np.float32], trees: Trees, tree: int, ways: npt.NDArray[np.uint64]) -> None:
    """Of each row, a bit for each split of a tree: whether the row goes to the left there."""
    ways[:] = 0
    split = trees.first_split[tree]
    for i in range(trees.splits[tree]):
        s = split + i
        values, threshold, nan_left = by_column[trees.feature[s]], trees.threshold[s], trees.nan_left[s]
        for k in range(len(ways)):
            x = np.float64(values[k])
            goes_left = (x <= threshold) | ((x != x) & nan_left)
            ways[k] |= np.uint64(goes_left) << np.uint64(i)


@_compiled
def _down(
    row: npt.NDArray[np.float32], trees: Trees, tree: int, points: tuple[float, ...], walk: Walk
) -> None:
    """Multiply the factors from the first node to every leaf, and the leaf's value with them."""
    split, node = trees.first_split[tree], trees.first_node[tree]
    taken, other, meets, product = walk
    meets[0] = True
    for q in range(len(points)):
        product[0, q] = 1.0
    for i in range(trees.splits[tree]):
        s = split + i
        x = np.float64(row[trees.feature[s]])
        goes_left = (x <= trees.threshold[s]) | ((x != x) & trees.nan_left[s])
        a = trees.left[s] if goes_left else trees.right[s]
        b = trees.right[s] if goes_left else trees.left[s]
        above = trees.above[s]
        taken[i], other[i] = a, b
        met, unmet, missed = trees.met[node + a], trees.unmet[node + a], trees.met[node + b]
        meets[a], meets[b] = meets[above], False
        if meets[above]:
            for q in range(len(points)):
                rest = product[i, q] * trees.inverse[node + above, q]
                product[a, q] = rest * (met + points[q] * unmet)
                product[b, q] = rest * missed * (1 - points[q])
        else:  # the row fails a condition on this feature already: only the shares change
            share = 1 / trees.share[node + above]
            for q in range(len(points)):
                rest = product[i, q] * share
                product[a, q] = rest * met
                product[b, q] = rest * missed


@_compiled
def _up(trees: Trees, tree: int, points: tuple[float, ...], walk: Walk, total: Doubles) -> None:
    """Add up the leaves below every edge; an edge takes back what the one above it gave."""
    split, node = trees.first_split[tree], trees.first_node[tree]
    taken, other, meets, product = walk
    splits = trees.splits[tree]
    for j in range(splits):
        i = splits - np.uintp(1) - j
        a, b, above, feature = taken[i], other[i], trees.above[split + i], trees.feature[split + i]
        if meets[above]:
            gain, undone = 1 - trees.share[node + a], 1 - trees.share[node + above]
            for q in range(len(points)):
                both = product[a, q] + product[b, q]
                total[feature, q] += (
                    product[a, q] * gain * trees.inverse[node + a, q]
                    - product[b, q] / (1 - points[q])
                    - both * undone * trees.inverse[node + above, q]
                )
                product[i, q] = both
        else:
            for q in range(len(points)):
                product[i, q] = product[a, q] + product[b, q]


@_compiled
def _integrate(total: Doubles, weights: tuple[float, ...], out: Doubles) -> None:
    for column in range(len(total)):
        out[column] = _integral(total[column], weights)


@_compiled
def _integral(at_points: Doubles, weights: tuple[float, ...]) -> float:
    value = 0.0
    for q in range(len(weights)):
        value += weights[q] * at_points[q]
    return value
