"""LightGBM's text format as flat arrays: every tree of a model, one after another.

Only what training here makes is read: one class, splits at thresholds, constant leaves. Anything else is
refused by name, so that nothing is ever explained wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accidents.errors import BundleError

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_CATEGORICAL, _DEFAULT_LEFT, _MISSING_ZERO, _MISSING_NAN = 1, 2, 4, 8  # bits of decision_type
_OF_LEAVES = ("leaf_value", "leaf_count")
_OF_SPLITS = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "internal_count")


@dataclass(frozen=True)
class Forest:
    """The trees of a model; a tree of k leaves has k - 1 splits and 2k - 1 nodes: splits first, then leaves.

    Attributes
    ----------
    columns : how many columns a row has.
    leaves : leaves of each tree, int64 [trees].
    feature, threshold : a split sends a value <= threshold of its column to the left, [splits].
    nan_left : whether NaN goes to the left, bool [splits].
    left, right : the children, as node numbers within the tree, int64 [splits]. A child's number is higher
        than its parent's.
    value : score of a leaf, 1 for a split, float64 [nodes].
    cover : training rows that came to a node, float64 [nodes].
    """

    columns: int
    leaves: Integers
    feature: Integers
    threshold: Doubles
    nan_left: Flags
    left: Integers
    right: Integers
    value: Doubles
    cover: Doubles

    @property
    def first_split(self) -> Integers:
        """Where each tree's splits begin, int64 [trees]."""
        return np.cumsum(self.leaves - 1) - (self.leaves - 1)

    @property
    def first_node(self) -> Integers:
        """Where each tree's nodes begin, int64 [trees]."""
        return np.cumsum(2 * self.leaves - 1) - (2 * self.leaves - 1)

    @property
    def expected(self) -> float:
        """Mean score over the training rows."""
        tree = np.repeat(np.arange(len(self.leaves)), 2 * self.leaves - 1)
        share = np.where(self.is_leaf, self.cover / self.cover[self.first_node][tree], 0)
        return float(share @ self.value)

    @property
    def is_leaf(self) -> Flags:
        """Which nodes are leaves, bool [nodes]."""
        place = np.arange(len(self.value)) - np.repeat(self.first_node, 2 * self.leaves - 1)
        return place >= np.repeat(self.leaves - 1, 2 * self.leaves - 1)


def read_forest(text: str) -> Forest:
    """Read LightGBM's text format.

    Raises BundleError if the text is no LightGBM model, is cut short, or has what is not supported:
    several classes, averaged output, categorical or linear splits, zero as missing, nodes without rows.
    """
    try:
        return _read(text)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise BundleError(f"The trees are no LightGBM text model: {error}. Train the model again.") from error


def _read(text: str) -> Forest:
    head, *trees = re.split(r"^Tree=\d+$", text, flags=re.MULTILINE)
    if not trees or "\nend of trees\n" not in trees[-1]:
        raise ValueError("the end is missing")
    fields = [dict(_pairs(tree)) for tree in trees]
    _refuse_other_kinds(head, fields)
    leaves = np.array([int(tree["num_leaves"]) for tree in fields], dtype=np.int64)
    part = {name: _joined(fields, name, leaves) for name in _OF_LEAVES}
    part |= {name: _joined(fields, name, leaves - 1) for name in _OF_SPLITS}
    decision = part["decision_type"].astype(np.int64)
    if (decision & (_CATEGORICAL | _MISSING_ZERO)).any():
        raise BundleError("The trees split on categories or take 0 as missing: neither is supported.")
    goes_left = np.where(decision & _MISSING_NAN, decision & _DEFAULT_LEFT, part["threshold"] >= 0) != 0
    forest = Forest(
        columns=int(dict(_pairs(head))["max_feature_idx"]) + 1,
        leaves=leaves,
        feature=part["split_feature"].astype(np.int64),
        threshold=part["threshold"],
        nan_left=goes_left,
        left=_node(part["left_child"], leaves),
        right=_node(part["right_child"], leaves),
        value=_nodes(np.ones(int((leaves - 1).sum())), part["leaf_value"], leaves),
        cover=_nodes(part["internal_count"], _leaf_counts(part["leaf_count"], leaves), leaves),
    )
    _check(forest)
    return forest


def _pairs(block: str) -> Iterator[tuple[str, str]]:
    for line in block.split("end of trees", 1)[0].splitlines():
        key, is_pair, value = line.partition("=")
        if is_pair:
            yield key, value


def _refuse_other_kinds(head: str, fields: list[dict[str, str]]) -> None:
    if dict(_pairs(head))["num_tree_per_iteration"] != "1" or "\naverage_output\n" in head:
        raise BundleError("The trees are of several classes or averaged: neither is supported.")
    if any(tree.get("is_linear", "0") != "0" for tree in fields):
        raise BundleError("The trees have linear leaves, which are not supported.")


def _joined(fields: list[dict[str, str]], name: str, counts: Integers) -> Doubles:
    """One field of all trees, float64 [counts.sum()]."""
    cells = [tree[name].split() for tree in fields]
    if [len(cell) for cell in cells] != counts.tolist():
        raise ValueError(f"{name} has another number of entries than the tree")
    return np.array([cell for tree in cells for cell in tree], dtype=np.float64)


def _node(child: Doubles, leaves: Integers) -> Integers:
    """LightGBM counts splits from 0 and leaves as -1, -2, ...: here leaves come after the splits."""
    number = child.astype(np.int64)
    return np.where(number < 0, np.repeat(leaves - 1, leaves - 1) + ~number, number)


def _leaf_counts(counts: Doubles, leaves: Integers) -> Doubles:
    """Of a tree without splits LightGBM may write 0 rows, which does not matter there."""
    return np.where(np.repeat(leaves, leaves) == 1, 1.0, counts)


def _nodes(of_splits: Doubles, of_leaves: Doubles, leaves: Integers) -> Doubles:
    """Per-split and per-leaf values in the order of the nodes."""
    tree = np.arange(len(leaves))
    order = np.argsort(np.concatenate([np.repeat(tree, leaves - 1), np.repeat(tree, leaves)]), kind="stable")
    return np.concatenate([of_splits, of_leaves])[order]


def _check(forest: Forest) -> None:
    split = np.arange(len(forest.feature)) - np.repeat(forest.first_split, forest.leaves - 1)
    first = np.repeat(forest.first_node, forest.leaves - 1)
    children = np.concatenate([first + forest.left, first + forest.right])
    parents = np.concatenate([first + split, first + split])
    inner = np.setdiff1d(np.arange(len(forest.value)), forest.first_node)
    if (children <= parents).any() or not np.array_equal(np.sort(children), inner):
        raise ValueError("the splits make no tree")
    if ((forest.feature < 0) | (forest.feature >= forest.columns)).any():
        raise ValueError("a split is on a column that does not exist")
    if (forest.cover <= 0).any():
        raise BundleError("The trees have nodes that no training row came to: they cannot be explained.")
