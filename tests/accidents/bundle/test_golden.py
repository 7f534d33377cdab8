"""Golden rows: what a server must give, and what does not pass for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accidents.bundle.golden import Golden
from accidents.errors import BundleError


@pytest.fixture
def golden() -> Golden:
    features = pd.DataFrame({"hour": [8.0, np.nan, 23.0], "light": [1.0, 2.0, np.nan]})
    return Golden(features, np.array([0.1, 0.5, 0.9]))


def test_the_same_probabilities_pass_and_the_largest_difference_is_told(golden: Golden):
    assert golden.check(golden.p_severe, "the server") == 0
    assert golden.check(golden.p_severe + np.array([0, 5e-7, 0]), "the server") == pytest.approx(5e-7)


@pytest.mark.parametrize("wrong", [2e-6, -2e-6, 1e-3, np.nan, np.inf])
@pytest.mark.parametrize("row", [0, 1, 2])
def test_one_row_that_differs_is_refused_by_name(golden: Golden, wrong: float, row: int):
    served = golden.p_severe.copy()
    served[row] += wrong
    with pytest.raises(BundleError, match=rf"the server gives .* \(golden row {row}\)"):
        golden.check(served, "the server")


def test_all_not_a_number_is_refused(golden: Golden):
    with pytest.raises(BundleError):
        golden.check(np.full(3, np.nan), "the server")


@pytest.mark.parametrize("served", [np.array([0.1, 0.5]), np.array([[0.1, 0.5, 0.9]]), np.array([])])
def test_another_number_of_rows_is_refused(golden: Golden, served: np.ndarray):
    with pytest.raises(BundleError, match="probabilities for"):
        golden.check(served, "the server")


def test_what_is_not_known_is_null_in_the_request(golden: Golden, tmp_path: Path):
    golden.write(tmp_path / "golden.json")
    written = json.loads((tmp_path / "golden.json").read_text(encoding="utf-8"))
    (tensor,) = written["request"]["inputs"]
    assert tensor["parameters"]["columns"] == ["hour", "light"]
    assert (tensor["shape"], tensor["data"]) == ([3, 2], [8.0, 1.0, None, 2.0, 23.0, None])
    assert written["p_severe"] == [0.1, 0.5, 0.9]
