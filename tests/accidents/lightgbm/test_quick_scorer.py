"""Fast scoring against LightGBM itself: the same trees must give the same numbers, to the last bit."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from accidents.errors import BundleError
from accidents.lightgbm.booster import Booster
from accidents.lightgbm.quick_scorer import FastTrees

COLUMNS = 12


def values(n: int, seed: int, missing: float = 0.2) -> np.ndarray:
    """Codes, whole numbers and fractions, some of them missing; the last column is never missing."""
    rng = np.random.default_rng(seed)
    matrix = np.concatenate(
        [rng.integers(0, 5, (n, 4)), rng.integers(-60, 60, (n, 4)), rng.normal(0, 3, (n, 4))], axis=1
    ).astype(np.float32)
    matrix[rng.random(matrix.shape) < missing] = np.nan
    matrix[:, -1] = rng.integers(0, 3, n)
    return matrix


def grown(leaves: int, trees: int = 40, **options: object) -> Booster:
    matrix = values(3_000, seed=1)
    known = np.nan_to_num(matrix, nan=2)
    rng = np.random.default_rng(2)
    y = known[:, 0] + known[:, 5] / 20 + known[:, 9] + np.isnan(matrix[:, 2]) + rng.normal(0, 1, 3_000) > 3
    classifier = lightgbm.LGBMClassifier(
        n_estimators=trees, num_leaves=leaves, min_child_samples=5, verbose=-1, random_state=3, **options
    )
    return Booster(classifier.fit(matrix, y).booster_.model_to_string())


@pytest.mark.parametrize("leaves", [2, 31, 32, 33, 64])
@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 1_000])
def test_the_scores_are_those_of_lightgbm(leaves: int, rows: int) -> None:
    booster = grown(leaves)
    matrix = values(rows, seed=9)
    assert np.array_equal(FastTrees(booster.text).score(matrix), booster.score(matrix))


def test_a_value_on_a_threshold_and_beside_it_goes_where_lightgbm_sends_it() -> None:
    booster = grown(31)
    lines = [line for line in booster.text.splitlines() if line.startswith("threshold=")]
    thresholds = np.array(" ".join(line.removeprefix("threshold=") for line in lines).split(), dtype=float)
    limits = np.finfo(np.float32)
    near = np.clip(thresholds, limits.min, limits.max).astype(np.float32)
    near = near[np.abs(near) < limits.max]
    beside = [np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf)]
    tries = np.concatenate(
        [near, *beside, np.float32([0, -0.0, 1e-38, 1e-35, -1e-35, limits.min, limits.max])]
    )
    matrix = np.repeat(tries[:, None], COLUMNS, axis=1)
    assert np.array_equal(FastTrees(booster.text).score(matrix), booster.score(matrix))


def test_missing_values_in_a_column_that_never_missed_any_count_as_zero() -> None:
    booster = grown(31)
    matrix = values(500, seed=4)
    matrix[:, -1] = np.nan
    assert np.array_equal(FastTrees(booster.text).score(matrix), booster.score(matrix))


def test_joined_boosters_are_scored_as_one() -> None:
    booster = grown(31).merged([grown(20, subsample=0.5, subsample_freq=1)])
    matrix = values(300, seed=5)
    assert np.array_equal(FastTrees(booster.text).score(matrix), booster.score(matrix))


def test_larger_trees_and_other_matrices_are_refused() -> None:
    with pytest.raises(BundleError, match="more than 64 leaves"):
        FastTrees(grown(65, trees=5).text)
    with pytest.raises(BundleError, match="12 columns"):
        FastTrees(grown(4, trees=2).text).score(np.zeros((3, 5), dtype=np.float32))
