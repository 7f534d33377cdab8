"""Benchmark `drift` in small: each change is found, by what should find it, and quiet is quiet."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.drift import CHANGES, SIZE
from benchmarks.drift_windows import pool, validator, watched

pytestmark = pytest.mark.slow
ACCIDENTS = 16_000
BY = {"lockdown": "features", "new_vehicle": "features", "speed_limit": "features", "broken_field": "missing",
      "coordinate_units": "missing", "severity_shift": "performance"}  # fmt: skip


def verdicts(change: str, draws: int) -> Counter[str]:
    rows, champion, count = pool(change, ACCIDENTS), watched(ACCIDENTS), Counter[str]()
    for seed in range(draws):
        window = rows.sample(min(SIZE, len(rows)), random_state=seed).reset_index(drop=True)
        decision = champion.verdict(window, validator())
        count.update([*decision.firing, decision.action])
    return count


def test_every_change_is_tried() -> None:
    assert set(BY) == set(CHANGES)


def test_a_quiet_year_is_quiet() -> None:
    assert verdicts("none", 20)["keep"] >= 18


@pytest.mark.parametrize("change", BY)
def test_a_change_is_found_by_what_should_find_it(change: str) -> None:
    found = verdicts(change, 6)
    assert found[BY[change]] == 6, found
    if change == "severity_shift":
        assert found["features"] <= 1, "nothing but the labels tells of it"
