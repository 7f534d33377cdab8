"""Months as numbers, and their names."""

import pandas as pd

from accidents.vocabulary.months import month_name, month_number


def test_numbers_follow_each_other_over_years_and_give_back_the_name() -> None:
    assert month_number(2019, 1) - month_number(2018, 12) == 1
    assert [month_name(month_number(2018, month)) for month in (1, 3, 12)] == [
        "2018-01",
        "2018-03",
        "2018-12",
    ]
    assert list(month_number(pd.Series([2018, 2019]), pd.Series([12, 1])).diff())[1] == 1
