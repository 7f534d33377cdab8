"""Benchmark `drift` in small: each change is found, by what should find it, and quiet is quiet."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest

from benchmarks.drift import CHANGES, ROWS, SIZE, _figures
from benchmarks.drift_windows import MONTHS, SUNNY, draw_window, pool, validator, watched

ACCIDENTS = 16_000
BY = {"lockdown": "features", "new_vehicle": "features", "speed_limit": "features", "broken_field": "missing",
      "coordinate_units": "missing", "severity_shift": "performance"}  # fmt: skip


def verdicts(change: str, draws: int) -> Counter[str]:
    rows, champion, count = pool(change, ACCIDENTS), watched(ACCIDENTS), Counter[str]()
    for seed in range(draws):
        decision = champion.verdict(draw_window(rows, change, SIZE, seed), validator(), change)
        count.update([*decision.firing, decision.action])
    return count


def test_every_change_is_tried() -> None:
    assert set(BY) == set(CHANGES)


def test_whatever_fires_without_labels_counts_against_the_severity_shift() -> None:
    found = {(row, SIZE): Counter(found=200) for row in ROWS}
    found["none", SIZE] = Counter(found=11)
    found["severity_shift", SIZE] = Counter({"found": 200, "features": 6, "missing": 6, "without labels": 12})
    figures = _figures(found, 200)
    assert [figure.met for figure in figures] == [False, *[True] * len(CHANGES), False]
    assert (figures[0].figure, figures[-1].figure) == ("5.5%", "6.0%")


@pytest.mark.parametrize("row", [MONTHS, SUNNY])
def test_windows_of_a_month_go_through_the_year(row: str) -> None:
    rows = pd.DataFrame({"month": list(range(1, 13)) * 3})
    windows = [draw_window(rows, row, 2, seed) for seed in range(12)]
    assert [set(window["month"]) for window in windows] == [{month} for month in range(1, 13)]
    assert {len(window) for window in windows} == {2}
    assert len(draw_window(rows, row, 50, 0)) == 3, "all there are"


@pytest.mark.slow
def test_a_quiet_year_is_quiet() -> None:
    assert verdicts("none", 20)["keep"] >= 18


@pytest.mark.slow
@pytest.mark.parametrize("change", BY)
def test_a_change_is_found_by_what_should_find_it(change: str) -> None:
    found = verdicts(change, 5)
    assert found[BY[change]] == 5, found
    if change == "severity_shift":
        assert found["features"] <= 1, "nothing but the labels tells of it"
