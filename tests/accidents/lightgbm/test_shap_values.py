"""SHAP values: LightGBM's own are the oracle."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accidents.errors import BundleError
from accidents.lightgbm import shap_values
from accidents.lightgbm.forest import Forest, read_forest
from accidents.lightgbm.shap_values import Explainer
from tests.conftest import ROOT


def rows_of(n: int, columns: int, missing: float, rng: np.random.Generator) -> np.ndarray:
    """Random rows with whole numbers in every other column (so that rows lie on thresholds) and NaN."""
    x = rng.normal(size=(n, columns)).astype(np.float32)
    x[:, ::2] = np.round(2 * x[:, ::2])
    x[rng.random(x.shape) < missing] = np.nan
    return x


def train(x: np.ndarray, rng: np.random.Generator, rounds: int = 5, **parameters: Any) -> lgb.Booster:
    """A booster whose label follows two of the columns and noise."""
    score = np.nan_to_num(x[:, 0] * x[:, -1] + x[:, 0]) + rng.normal(size=len(x))
    fixed = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_child_samples": 1}
    return lgb.train(fixed | parameters, lgb.Dataset(x, (score > 0).astype(float)), rounds)


def assert_as_lightgbm(booster: lgb.Booster, x: np.ndarray) -> None:
    ours = Explainer(booster.model_to_string()).contributions(x)
    oracle = booster.predict(x, pred_contrib=True)
    np.testing.assert_allclose(ours, oracle, rtol=1e-9, atol=1e-9 * np.abs(oracle).max())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.integers(1, 12),
    missing_in_training=st.sampled_from([0, 0.2]),
    parameters=st.fixed_dictionaries(
        {
            "num_leaves": st.integers(2, 40),
            "max_depth": st.sampled_from([-1, 1, 3]),
            "bagging_fraction": st.sampled_from([0.5, 1.0]),
            "bagging_freq": st.just(1),
            "monotone": st.sampled_from([-1, 0, 1]),
            "use_missing": st.booleans(),
            "learning_rate": st.sampled_from([0.05, 1.0]),
        }
    ),
)
def test_small_boosters(seed: int, columns: int, missing_in_training: float, parameters: dict[str, Any]):
    rng = np.random.default_rng(seed)
    x = rows_of(200, columns, missing_in_training, rng)
    monotone = [parameters.pop("monotone")] + [0] * (columns - 1)
    booster = train(x, rng, monotone_constraints=monotone, **parameters)
    strange = np.array([[np.nan], [0], [-0.0], [np.inf], [-np.inf], [3e38]], np.float32).repeat(columns, 1)
    assert_as_lightgbm(booster, np.concatenate([rows_of(40, columns, 0.2, rng), x[:40], strange]))


@pytest.mark.parametrize(("columns", "leaves"), [(1, 200), (2, 300), (40, 255)])
def test_deep_trees(columns: int, leaves: int):
    rng = np.random.default_rng(1)
    x = rows_of(1_500, columns, 0.1, rng)
    assert_as_lightgbm(train(x, rng, num_leaves=leaves), x[:50])


@pytest.mark.parametrize(("leaves", "remembered"), [(31, True), (65, True), (66, False)])
def test_rows_that_go_the_same_way_are_explained_once(
    leaves: int, remembered: bool, monkeypatch: pytest.MonkeyPatch
):
    """As thousands of rows are; trees with more splits than a word has bits are walked row by row."""
    monkeypatch.setattr(shap_values, "_ALIKE_ROWS", 1)
    rng = np.random.default_rng(4)
    x = rows_of(1_500, 6, 0.1, rng)
    booster = train(x, rng, num_leaves=leaves)
    assert read_forest(booster.model_to_string()).leaves.max() == leaves
    rows = np.concatenate([x[:150], x[50:200]])
    assert_as_lightgbm(booster, rows)
    explainer = Explainer(booster.model_to_string())
    monkeypatch.setattr(explainer, "_explain_many", None)
    with pytest.raises(TypeError) if remembered else nullcontext():
        explainer.contributions(rows)


def test_a_path_through_thirty_features():
    """A chain: each split takes a single row away on another column."""
    x = np.eye(31, 30, dtype=np.float32)
    booster = lgb.train(
        {"objective": "regression", "num_leaves": 31, "min_child_samples": 1, "min_data_in_bin": 1,
         "min_sum_hessian_in_leaf": 0, "verbose": -1, "boost_from_average": False},
        lgb.Dataset(x, np.arange(31.0) ** 2), 1,
    )  # fmt: skip
    assert read_forest(booster.model_to_string()).leaves[0] == 31
    assert_as_lightgbm(booster, x)


def test_trees_without_splits():
    rng = np.random.default_rng(2)
    x = rows_of(100, 3, 0, rng)
    booster = train(x, rng, min_child_samples=100)
    assert_as_lightgbm(booster, x[:5])
    assert not Explainer(booster.model_to_string()).contributions(x)[:, :-1].any()


def by_definition(forest: Forest, x: np.ndarray) -> list[float]:
    """Shapley values of one row and one tree from the definition: over all sets of columns."""

    def value(known: frozenset[int], node: int) -> float:
        if forest.is_leaf[node]:
            return float(forest.value[node])
        left, right, column = forest.left[node], forest.right[node], int(forest.feature[node])
        if column in known:
            return value(known, left if x[column] <= forest.threshold[node] else right)
        children = (forest.cover[child] * value(known, child) for child in (left, right))
        return float(sum(children) / forest.cover[node])

    def gain(column: int, size: int) -> float:
        others = set(range(len(x))) - {column}
        sets = [frozenset(chosen) for chosen in combinations(others, size)]
        return sum(value(known | {column}, 0) - value(known, 0) for known in sets) / math.comb(
            len(others), size
        )

    return [sum(gain(column, size) for size in range(len(x))) / len(x) for column in range(len(x))]


def test_they_are_shapley_values():
    rng = np.random.default_rng(3)
    x = rows_of(200, 4, 0, rng)
    text = train(x, rng, rounds=1, num_leaves=15).model_to_string()
    forest = read_forest(text)
    assert max(Counter(forest.feature.tolist()).values()) > 1, "a feature occurs again on a path"
    for row in x[:5]:
        ours = Explainer(text).contributions(row[None])[0, :-1]
        np.testing.assert_allclose(ours, by_definition(forest, row), atol=1e-12)


@pytest.mark.parametrize("threads", ["1", "2", "3,1", "many"])
def test_one_row_and_many_rows_agree_to_the_last_bit(threads: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    rng = np.random.default_rng(4)
    x = rows_of(700, 6, 0.1, rng)
    explainer = Explainer(train(x, rng).model_to_string())
    one = np.concatenate([explainer.contributions(row[None]) for row in x])
    np.testing.assert_array_equal(explainer.contributions(x), one)
    turned = np.asfortranarray(x.astype(np.float64))
    np.testing.assert_array_equal(explainer.contributions(turned), one)


def test_no_rows_and_a_wrong_width():
    rng = np.random.default_rng(5)
    explainer = Explainer(train(rows_of(100, 3, 0, rng), rng).model_to_string())
    assert explainer.contributions(np.empty((0, 3), np.float32)).shape == (0, 4)
    for shape in [(3,), (1, 2), (1, 4), (1, 3, 1)]:
        with pytest.raises(BundleError, match="need 3 columns"):
            explainer.contributions(np.zeros(shape, np.float32))


def test_numba_waits_for_the_first_explanation():
    code = "import accidents.training.trained_model, sys; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_it_works_where_no_compiled_code_can_be_kept(tmp_path: Path):
    shutil.copytree(ROOT / "accidents", tmp_path / "accidents", ignore=shutil.ignore_patterns("__pycache__"))
    for blocked in ("accidents/__pycache__", "home"):
        (tmp_path / blocked).touch()  # a file where a folder is wanted: not even root writes into it
    rng = np.random.default_rng(6)
    x = rows_of(100, 3, 0, rng)
    booster = train(x, rng)
    booster.save_model(tmp_path / "trees.txt")
    code = (
        "import numpy; from pathlib import Path; from accidents.lightgbm.shap_values import Explainer;"
        "print(Explainer(Path('trees.txt').read_text()).contributions(numpy.zeros((1, 3))).sum())"
    )
    home = str(tmp_path / "home")
    environment = {"HOME": home, "XDG_CACHE_HOME": home, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(booster.predict(np.zeros((1, 3)), raw_score=True)[0])
