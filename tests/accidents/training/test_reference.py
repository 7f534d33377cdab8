"""What a bundle carries to be measured against."""

from __future__ import annotations

import numpy as np
import pandas as pd

from accidents.training.reference import expected, latest_learnt, promised


def rows(*years: int, each: int = 120) -> pd.DataFrame:
    months = np.resize(np.arange(1, 13), each)
    parts = [pd.DataFrame({"year": year, "month": months, "severe": 0.0}) for year in years]
    return pd.concat(parts, ignore_index=True)


def test_the_reference_is_the_last_twelve_months_learnt_from() -> None:
    found = latest_learnt(rows(2019, 2020, 2021), seed=7)
    assert (set(found["year"]), len(found)) == ({2021}, 120)


def test_months_of_two_years_are_taken_where_calibration_has_only_some() -> None:
    calibration = rows(2021)
    found = latest_learnt(pd.concat([rows(2019, 2020), calibration[calibration["month"] <= 3]]), seed=7)
    assert set(found["year"] * 12 + found["month"]) == set(range(2020 * 12 + 4, 2021 * 12 + 4))


def test_samples_are_no_larger_than_asked_and_always_the_same() -> None:
    first, again = (latest_learnt(rows(2020, 2021), seed=7, most=50) for _ in range(2))
    assert len(first) == 50
    pd.testing.assert_frame_equal(first, again)


def test_a_refit_expects_what_it_gives_to_accidents_it_has_not_seen() -> None:
    reference = rows(2022).assign(p_severe=0.9, p_unseen=[0.4] * 60 + [np.nan] * 60)
    holdout = rows(2022).assign(p_severe=0.3)
    found = expected(reference, holdout)
    assert (len(found), set(found["p_severe"])) == (60, {0.4})
    assert expected(reference.drop(columns="p_unseen"), holdout) is holdout


def test_the_holdout_keeps_each_probability_with_its_label() -> None:
    test = rows(2022)
    test["severe"] = np.arange(120) % 2
    found = promised(test, pd.Series(test["severe"] * 0.5 + 0.2), seed=7, most=40)
    assert list(found.columns) == ["year", "month", "severe", "p_severe"]
    assert (found["p_severe"] == found["severe"] * 0.5 + 0.2).all()
