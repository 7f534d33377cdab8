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
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from accidents.errors import BundleError
from accidents.forest import Doubles, Forest, Integers, read_forest

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
        from accidents import treeshap

        forest = read_forest(trees_text)
        self.columns, self.expected = forest.columns, forest.expected
        edges = _Edges(forest)
        points, weights = _quadrature(edges.most_features)
        self._points, self._weights = tuple(points.tolist()), tuple(weights.tolist())
        self._trees = treeshap.Trees(
            splits=_indices(forest.leaves - 1),
            first_split=_indices(forest.first_split),
            first_node=_indices(forest.first_node),
            feature=_indices(forest.feature),
            threshold=forest.threshold,
            nan_left=forest.nan_left,
            left=_indices(forest.left),
            right=_indices(forest.right),
            above=_indices(edges.above),
            share=edges.share,
            **_used(forest),
            met=forest.value * edges.share,
            unmet=forest.value * (1 - edges.share),
            inverse=1 / (edges.share[:, None] + points * (1 - edges.share[:, None])),
        )
        self._explain, self._explain_many = treeshap.explain, treeshap.explain_many
        self._memorable = bool(forest.leaves.max() - 1 <= treeshap.MOST_SPLITS)
        self.contributions(np.zeros((1, self.columns), dtype=np.float32))  # compiles

    def contributions(self, matrix: Floats) -> Doubles:
        """SHAP values in log-odds of float32 [n, columns], missing is NaN; float64 [n, columns + 1].

        The last column is the expected score; a row's sum is its score. Raises BundleError for another
        number of columns. Many rows are shared among as many threads as OMP_NUM_THREADS says.
        """
        rows = np.ascontiguousarray(matrix, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.columns:
            raise BundleError(f"The trees need {self.columns} columns, not a matrix of shape {rows.shape}.")
        out = np.empty((len(rows), self.columns + 1))
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
        explain(rows, self._trees, self._points, self._weights, out)


class _Edges:
    """What the way from a tree's first node says of its edges; an edge goes by the node it leads to.

    Attributes
    ----------
    above : of each split, the nearest edge above that is of a split on the same feature, as node number
        within the tree; 0 if there is none.
    share : of each node, share of training rows that meet the conditions on its edge's feature.
    most_features : the most features that the way to a leaf goes through.
    """

    def __init__(self, forest: Forest) -> None:
        first = np.repeat(forest.first_node, forest.leaves - 1)
        node = first + np.arange(len(first)) - np.repeat(forest.first_split, forest.leaves - 1)
        parent = np.arange(len(forest.value))  # the first node is its own
        feature = np.full(len(parent), -1)
        for child in (first + forest.left, first + forest.right):
            parent[child], feature[child] = node, forest.feature
        nearest = _nearest(parent, feature, forest.feature, node)
        self.above = nearest - first
        before = np.arange(len(parent))
        before[first + forest.left] = before[first + forest.right] = nearest
        self.share = _along(before, forest.cover / forest.cover[parent], np.multiply)
        root = np.repeat(forest.first_node, 2 * forest.leaves - 1)
        new = (before == root) & (root != np.arange(len(root)))  # the first edge of its feature
        self.most_features = int(_along(parent, new.astype(np.float64), np.add).max())


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


def _used(forest: Forest) -> dict[str, npt.NDArray[np.uintp]]:
    """The features that each tree splits on, one tree after another, and where each tree's begin."""
    of_trees = [np.unique(one) for one in np.split(forest.feature, forest.first_split[1:])]
    first = np.cumsum([0, *map(len, of_trees)])
    return {"used": _indices(np.concatenate(of_trees)), "first_used": _indices(first)}


def _quadrature(features: int) -> tuple[Doubles, Doubles]:
    """Points and weights of Gauss-Legendre quadrature on [0, 1], exact up to degree `features` - 1."""
    points, weights = np.polynomial.legendre.leggauss(max(1, (features + 1) // 2))
    return (points + 1) / 2, weights / 2


def _indices(numbers: Integers) -> npt.NDArray[np.uintp]:
    return numbers.astype(np.uintp)


def _threads() -> int:
    """What NUMBA_NUM_THREADS or OMP_NUM_THREADS says, else a thread per processor."""
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        number = os.environ.get(name, "").split(",")[0].strip()
        if number.isdecimal() and int(number) > 0:
            return int(number)
    return os.cpu_count() or 1
