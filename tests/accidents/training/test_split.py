"""Splitting: by time, whole accidents, no row without a label."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accidents.errors import DataError, SettingsError
from accidents.training.split import (
    CALIBRATION,
    LEFT_OUT,
    PARTS,
    TEST,
    TRAIN,
    SplitSettings,
    split,
    split_at_random,
    split_by_time,
)


def accidents(*years: int, per_month: int = 10) -> pd.DataFrame:
    """`per_month` labelled accidents in each month of `years`, last month first."""
    rows = [(year, month) for year in years for month in range(12, 0, -1) for _ in range(per_month)]
    frame = pd.DataFrame(rows, columns=["year", "month"]).astype({"year": "int16", "month": "int8"})
    return frame.assign(accident_id=np.arange(len(frame)), severe=np.float32(1))


def months_of(frame: pd.DataFrame, parts: np.ndarray, part: str) -> set[tuple[int, int]]:
    chosen = frame[parts == part]
    return set(zip(chosen["year"].tolist(), chosen["month"].tolist(), strict=True))


def test_three_years_are_one_part_each():
    frame = accidents(2016, 2017, 2018)
    parts = split_by_time(frame).parts
    assert {part: {year for year, _ in months_of(frame, parts, part)} for part in PARTS} == {
        TRAIN: {2016},
        CALIBRATION: {2017},
        TEST: {2018},
    }


def test_two_years_calibrate_on_the_last_months_of_the_earlier():
    frame = accidents(2018, 2019)
    result = split_by_time(frame, calibration_share=0.25)
    assert months_of(frame, result.parts, CALIBRATION) == {(2018, 10), (2018, 11), (2018, 12)}
    assert {year for year, _ in months_of(frame, result.parts, TEST)} == {2019}
    assert result.rows(LEFT_OUT) == 0


def test_one_year_is_cut_at_months_in_order():
    frame = accidents(2018, per_month=20)
    parts = split_by_time(frame, calibration_share=1 / 6, test_share=0.25).parts
    assert months_of(frame, parts, TRAIN) == {(2018, month) for month in range(1, 8)}
    assert months_of(frame, parts, CALIBRATION) == {(2018, 8), (2018, 9)}
    assert months_of(frame, parts, TEST) == {(2018, 10), (2018, 11), (2018, 12)}


def test_gap_between_years_is_reported():
    assert "No data between the years used for 2019-2023" in split_by_time(accidents(2018, 2024)).description


def test_years_after_the_test_year_are_left_out_and_said_so():
    frame = accidents(2019, 2020, 2021, 2022)
    result = split_by_time(frame, test_year=2021)
    assert {year for year, _ in months_of(frame, result.parts, LEFT_OUT)} == {2022}
    assert "2022 left out, being later than the test year 2021" in result.description


def test_the_label_break_is_told():
    assert "recorded differently before 2018" in split_by_time(accidents(2017, 2018)).description
    assert "recorded differently" not in split_by_time(accidents(2018, 2019)).description


def test_unknown_test_year_names_the_years_there_are():
    with pytest.raises(SettingsError, match=r"2030 has no labelled accident.*2018, 2019; nearest: 2019"):
        split_by_time(accidents(2018, 2019), test_year=2030)


def test_first_year_cannot_be_tested():
    with pytest.raises(SettingsError, match="nothing comes before 2018"):
        split_by_time(accidents(2018, 2019), test_year=2018)


def test_year_without_labels_is_not_the_test_year():
    frame = accidents(2018, 2019, 2020)
    frame.loc[frame["year"] == 2020, "severe"] = np.nan
    result = split_by_time(frame)
    assert {year for year, _ in months_of(frame, result.parts, TEST)} == {2019}
    assert "120 rows without a label left out" in result.description


def test_no_label_at_all_is_refused():
    with pytest.raises(DataError, match="no accident has both a label and a date"):
        split_by_time(accidents(2018).assign(severe=np.nan))


def test_one_month_cannot_be_split():
    frame = accidents(2016)
    with pytest.raises(DataError, match=r"2016 has accidents in 1 month\(s\) only"):
        split_by_time(frame[frame["month"] == 1])


def test_undated_accidents_are_left_out():
    frame = accidents(2018, 2019).astype({"month": "Int8"})
    frame.loc[0, "month"] = pd.NA
    assert split_by_time(frame).parts[0] == LEFT_OUT


def test_settings_choose_the_method():
    frame = accidents(2018, 2019)
    assert split(frame, SplitSettings(), 7).method == "time"
    at_random = split(frame, SplitSettings(method="random"), 7)
    assert (at_random.parts != split(frame, SplitSettings(method="random"), 11).parts).any()
    assert at_random.method == "random"
    assert "flatter" in at_random.description


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Rows with repeated accidents, some over two months, some unlabelled; three labelled years at least."""
    years, months = st.sampled_from([2018, 2019, 2021]), st.integers(1, 12)
    some = draw(st.lists(st.tuples(st.integers(0, 40), years, months, st.booleans()), max_size=60))
    rows = [*some, (100, 2018, 1, True), (101, 2019, 6, True), (102, 2021, 3, True)]
    frame = pd.DataFrame(rows, columns=["accident_id", "year", "month", "labelled"])
    return frame.assign(severe=np.where(frame["labelled"], 1.0, np.nan))


@given(tables(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_accident_is_on_two_sides_and_time_only_goes_forward(frame: pd.DataFrame, at_random: bool):
    parts = split_at_random(frame).parts if at_random else split_by_time(frame).parts
    used = frame.assign(part=parts)[parts != LEFT_OUT]
    assert used.groupby("accident_id")["part"].nunique().max() == 1
    assert used["severe"].notna().all()
    if not at_random:
        first = (used["year"] * 12 + used["month"]).groupby(used["accident_id"]).transform("min")
        spans = [first[used["part"] == part] for part in PARTS]
        for earlier, later in pairwise(spans):
            assert earlier.empty or later.empty or earlier.max() < later.min()


@pytest.mark.parametrize("first", [True, False])
def test_an_accident_with_rows_in_two_parts_is_in_the_earlier_one_alone(first: bool):
    frame = accidents(2018).astype({"accident_id": object})
    months = {month: frame.index[frame["month"] == month][0] for month in (2, 12)}
    order = (2, 12) if first else (12, 2)
    frame.loc[[months[month] for month in order], "accident_id"] = "the same"
    parts = split_by_time(frame).parts
    assert parts[months[2]] == parts[months[12]] == TRAIN
    for accident, rows in frame.assign(part=parts).groupby("accident_id"):
        assert rows["part"].nunique() == 1, accident
