"""Exact SHAP values of LightGBM's trees, path-dependent, in a tenth of the time of LightGBM's own.

For a leaf of value v, reached through splits on the features U, the SHAP value of i in U is

    v * integral from 0 to 1 of (o_i - r_i) * product over j in U without i of (r_j + t (o_j - r_j)) dt

where o_j is 1 if the row meets all conditions on j on the way to the leaf, else 0, and r_j is the share of
training rows that meet them. The integrand is a polynomial of degree |U| - 1, so Gauss-Legendre quadrature
with half as many points as features is exact. One walk down a tree multiplies the factors at all points, one
walk up adds up the leaves: the work grows with the number of nodes, not with leaves times depth squared.
The idea is that of Linear TreeSHAP (Yu et al., 2022, arXiv:2209.08192).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accidents.errors import BundleError
from accidents.lightgbm.forest import Doubles, Flags, Forest, Integers, read_forest

if TYPE_CHECKING:
    from accidents.lightgbm import shap_compiled_loops

Floats = npt.NDArray[np.float32]

_MANY_ROWS = 256  # fewer are not worth a second thread
_ALIKE_ROWS = 5_000  # from here on, many rows go the same way through a tree


class Explainer:
    """SHAP values of the trees in LightGBM's text format. Safe to use from several threads.

    Attributes
    ----------
    columns : how many columns a row has.
    expected : the score expected of a training row, in log-odds.
    """

    def __init__(self, trees_text: str) -> None:
        """Read the trees and compile: 2 s on a machine's first use, 0.6 s after.

        Raises BundleError for what `read_forest` refuses.
        """
        from accidents.lightgbm import shap_compiled_loops

        forest = read_forest(trees_text)
        self.columns, self.expected = forest.columns, forest.expected
        edges = _Edges(forest)
        self._walks = [
            (_trees(forest, edges, chosen), tuple(points), tuple(weights))
            for chosen, points, weights in _quadratures(edges.most_features, shap_compiled_loops.POINTS)
        ]
        self._explain, self._explain_many = shap_compiled_loops.explain, shap_compiled_loops.explain_many
        self._memorable = bool(forest.leaves.max() - 1 <= shap_compiled_loops.MOST_SPLITS)
        self.contributions(np.zeros((1, self.columns), dtype=np.float32))  # compiles

    def contributions(self, matrix: Floats) -> Doubles:
        """SHAP values in log-odds of float32 [n, columns], missing is NaN; float64 [n, columns + 1].

        The last column is the expected score; a row's sum is its score. Raises BundleError for another
        number of columns. Many rows are shared among as many threads as OMP_NUM_THREADS says.
        """
        rows = np.ascontiguousarray(matrix, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.columns:
            raise BundleError(f"The trees need {self.columns} columns, not a matrix of shape {rows.shape}.")
        out = np.zeros((len(rows), self.columns + 1))
        out[:, -1] = self.expected
        threads = _threads() if len(rows) >= _MANY_ROWS else 1
        if threads == 1:
            self._fill(rows, out)
        else:  # threads of our own: numba's do not survive a fork
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(self._fill, np.array_split(rows, threads), np.array_split(out, threads)))
        return out

    def _fill(self, rows: Floats, out: Doubles) -> None:
        explain = self._explain_many if self._memorable and len(rows) >= _ALIKE_ROWS else self._explain
        for trees, points, weights in self._walks:
            explain(rows, trees, points, weights, out)


class _Edges:
    """What the way from a tree's first node says of its edges, numbered as in `shap_compiled_loops.Trees`.

    Attributes
    ----------
    tree : that each split is of.
    at, above : of each split, edges of its tree; 0 if there is none.
    share, value : of the two edges of each split, [splits, 2].
    most_features : of each tree, the most features that the way to a leaf goes through.
    """

    def __init__(self, forest: Forest) -> None:
        self.tree = np.repeat(np.arange(len(forest.leaves)), forest.leaves - 1)
        first = forest.first_node[self.tree]
        split = np.arange(len(first)) - forest.first_split[self.tree]
        node, children = first + split, (first + forest.left, first + forest.right)
        edge = np.zeros(len(forest.value), dtype=np.int64)  # that leads to each node
        parent = np.arange(len(forest.value))  # the first node is its own
        feature = np.full(len(parent), -1)
        for side, child in enumerate(children, start=1):
            parent[child], feature[child], edge[child] = node, forest.feature, 2 * split + side
        before = np.arange(len(parent))
        nearest = _nearest(parent, feature, forest.feature, node)
        for child in children:
            before[child] = nearest
        share = _along(before, forest.cover / forest.cover[parent], np.multiply)
        new = (edge[before] == 0) & (edge != 0)  # the first edge of its feature
        features = _along(parent, new.astype(np.float64), np.add)
        self.at, self.above = edge[node], edge[nearest]
        self.share = np.column_stack([share[child] for child in children])
        self.value = np.column_stack([forest.value[child] for child in children])
        self.most_features = np.maximum.reduceat(features, forest.first_node).astype(np.int64)


def _trees(forest: Forest, edges: _Edges, chosen: Flags) -> shap_compiled_loops.Trees:
    """Return the trees that are chosen, bool [trees]."""
    from accidents.lightgbm import shap_compiled_loops

    splits, kept = (forest.leaves - 1)[chosen], chosen[edges.tree]
    return shap_compiled_loops.Trees(
        splits=splits.astype(np.uint32),
        first=(np.cumsum(splits) - splits).astype(np.uint32),
        feature=forest.feature[kept].astype(np.uint32),
        threshold=forest.threshold[kept],
        nan_left=forest.nan_left[kept],
        at=edges.at[kept].astype(np.uint32),
        above=edges.above[kept].astype(np.uint32),
        share=edges.share[kept].ravel(),
        value=edges.value[kept].ravel(),
        **_used(forest.feature[kept], splits),
    )


def _used(feature: Integers, splits: Integers) -> dict[str, npt.NDArray[np.uintp]]:
    """Return the features that each tree splits on, one tree after another, and where each tree's begin."""
    of_trees = [np.unique(features) for features in np.split(feature, np.cumsum(splits)[:-1])]
    first = np.cumsum([0, *map(len, of_trees)])
    return {"used": np.concatenate(of_trees).astype(np.uintp), "first_used": first.astype(np.uintp)}


def _nearest(parent: Integers, feature: Integers, wanted: Integers, node: Integers) -> Integers:
    """From each node upwards, the first whose edge is of the wanted feature, or a tree's first node."""
    while (further := (feature[node] != wanted) & (parent[node] != node)).any():
        node = np.where(further, parent[node], node)
    return node


def _along(before: Integers, own: Doubles, join: np.ufunc) -> Doubles:
    """Join each node's own value with those of the nodes before it, up to one that is before itself."""
    total, node = own.copy(), before
    while (further := node != before[node]).any():
        join(total, own[node], out=total, where=further)
        node = before[node]
    return total


def _quadratures(features: Integers, size: int) -> Iterator[tuple[Flags, Any, Any]]:
    """Trees, and points and weights on [0, 1] to walk through them with: `size` a time, as often as needed.

    Gauss-Legendre quadrature of n points is exact up to degree 2 n - 1, and a tree of so many `features`
    needs one less than they are. Most trees need a walk, and a few two.
    """
    walks = np.maximum(1, -(-features // (2 * size)))
    for number in np.unique(walks).tolist():
        points, weights = np.polynomial.legendre.leggauss(number * size)
        for start in range(0, number * size, size):
            part = slice(start, start + size)
            yield walks == number, ((points[part] + 1) / 2).tolist(), (weights[part] / 2).tolist()


def _threads() -> int:
    """Return what NUMBA_NUM_THREADS or OMP_NUM_THREADS says, else a thread per processor."""
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        number = os.environ.get(name, "").split(",")[0].strip()
        if number.isdecimal() and int(number) > 0:
            return int(number)
    return os.cpu_count() or 1
