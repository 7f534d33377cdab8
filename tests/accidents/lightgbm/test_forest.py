"""LightGBM's text as arrays: what it says, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from accidents.errors import BundleError
from accidents.lightgbm.forest import read_forest


def booster(rounds: int = 3, categories: Sequence[int] = (), **settings: Any) -> lgb.Booster:
    """A booster on 300 made-up rows of 4 columns, one with missing values, one of few whole numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    x[::5, 1], x[:, 3] = np.nan, rng.integers(0, 4, 300)
    y = (x[:, 0] + x[:, 3] + rng.normal(size=300) > 1).astype(float)
    parameters = {"objective": "binary", "min_child_samples": 5, "num_leaves": 8, "verbose": -1}
    return lgb.train(parameters | settings, lgb.Dataset(x, y, categorical_feature=categories), rounds)


def test_it_says_what_lightgbm_says():
    trained = booster()
    forest, frame = read_forest(trained.model_to_string()), trained.trees_to_dataframe()
    assert forest.columns == 4
    assert (
        forest.leaves.tolist() == frame[frame["split_feature"].isna()].groupby("tree_index").size().tolist()
    )
    leaf = frame["split_feature"].isna()
    assert sorted(forest.threshold) == sorted(frame["threshold"][~leaf])
    np.testing.assert_allclose(sorted(forest.value[forest.is_leaf]), sorted(frame["value"][leaf]))
    assert sorted(forest.cover) == sorted(frame["count"])
    assert forest.expected == pytest.approx(trained.predict(np.zeros((1, 4)), pred_contrib=True)[0, -1])


def test_a_tree_without_splits_is_its_leaf():
    forest = read_forest(booster(rounds=1, min_child_samples=300).model_to_string())
    assert forest.leaves.tolist() == [1]
    assert forest.expected == forest.value[0]
    assert forest.feature.size == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"objective": "multiclass", "num_class": 3}, "several classes"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "averaged"),
        ({"linear_tree": True}, "linear"),
        ({"zero_as_missing": True}, "0 as missing"),
    ],
)
def test_other_kinds_of_trees_are_refused_by_name(settings: dict[str, Any], named: str):
    with pytest.raises(BundleError, match=named):
        read_forest(booster(**settings).model_to_string())


def test_splits_on_categories_are_refused():
    with pytest.raises(BundleError, match="categories"):
        read_forest(booster(categories=[3], min_data_per_group=1).model_to_string())


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"end of trees", ""),
        (r"max_feature_idx=3", "max_feature_idx=0"),
        (r"(left_child=)\S+", r"\g<1>0"),
        (r"(left_child=)\S+", r"\g<1>99"),
        (r"(left_child=)(\S+) (\S+)", r"\g<1>\2 \2"),
        (r"(threshold=)\S+ ", r"\g<1>"),
        (r"(threshold=)\S+ ", r"\g<1>much "),
        (r"threshold=.*\n", ""),
        (r"num_leaves=8", "num_leaves=9"),
        (r"(leaf_count=)\d+", r"\g<1>0"),
    ],
)
def test_damaged_text_is_refused(pattern: str, replacement: str):
    text = booster().model_to_string()
    damaged = re.sub(pattern, replacement, text, count=1)
    assert damaged != text
    with pytest.raises(BundleError):
        read_forest(damaged)


@pytest.mark.parametrize("text", ["", "tree", "Tree=0\n\nend of trees\n", "{}"])
def test_what_is_no_model_is_refused(text: str):
    with pytest.raises(BundleError, match="no LightGBM text model"):
        read_forest(text)


def test_a_cut_text_is_refused():
    text = booster().model_to_string()
    end = text.index("end of trees")
    for length in range(0, end, end // 40):
        with pytest.raises(BundleError):
            read_forest(text[:length])
