"""Months as numbers that can be compared and subtracted: months since year 0."""

from __future__ import annotations

from typing import Any


def month_number(year: Any, month: Any) -> Any:
    """Return months since year 0 of a year and a month of it (1 to 12): numbers, arrays or columns."""
    return year * 12 + month - 1


def month_name(number: int) -> str:
    """Return the ISO name of a month: "2018-03"."""
    return f"{number // 12}-{number % 12 + 1:02d}"
