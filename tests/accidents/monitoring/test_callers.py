"""How much one caller counts in a window."""

from __future__ import annotations

import numpy as np
import pytest

from accidents.monitoring.callers import at_most

ENOUGH = 300


def window(**predictions: int) -> np.ndarray:
    """Who asked, in an order that is nobody's own."""
    callers = np.repeat(np.array(list(predictions), dtype=object), list(predictions.values()))
    return np.random.default_rng(1).permutation(callers)


def counted(share: float | None = 0.2, **predictions: int) -> dict[str, int]:
    callers = window(**predictions)
    kept, _ = at_most(callers, share, ENOUGH, seed=3)
    return {name: int((callers[kept] == name).sum()) for name in predictions}


ROOMS = {"lyon": 2_000, "lille": 2_000, "nice": 2_000, "brest": 2_000, "metz": 2_000}


def test_a_flood_is_no_more_than_its_share_and_the_others_count_whole() -> None:
    found = counted(**ROOMS, flood=50_000)
    assert found == ROOMS | {"flood": 2_500}, "2,500 of 12,500"


def test_what_was_left_out_is_told() -> None:
    _, told = at_most(window(**ROOMS, flood=50_000), 0.2, ENOUGH, seed=3)
    expected = "Counted 2,500 of 50,000 predictions of flood: at most 20% of a window come from one caller."
    assert told == (expected,)


def test_the_same_window_and_seed_count_the_same_accidents() -> None:
    callers = window(**ROOMS, flood=5_000)
    first, again, other = (at_most(callers, 0.2, ENOUGH, seed)[0] for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_accidents_left_out_are_random_ones_not_the_earliest_or_the_last() -> None:
    callers = np.array([*["flood"] * 10_000, *[name for name in ROOMS for _ in range(400)]], dtype=object)
    at = np.flatnonzero(at_most(callers, 0.2, ENOUGH, seed=3)[0][:10_000])
    assert len(at) == 500
    assert at.mean() == pytest.approx(5_000, abs=400)


def test_callers_too_few_for_the_share_have_equal_ones() -> None:
    assert counted(lyon=9_500, lille=1_000) == {"lyon": 1_000, "lille": 1_000}
    assert counted(lyon=9_500, lille=1_000, nice=800) == {"lyon": 800, "lille": 800, "nice": 800}


def test_a_flood_beside_so_few_others_that_nothing_can_be_left_out_is_told() -> None:
    found, told = at_most(window(flood=50_000, lyon=120, nice=80), 0.2, ENOUGH, seed=3)
    assert found.all()
    assert told[0].startswith("50,000 of 50,200 predictions are of flood, and all count: the others' 200 are")
    for others in ({"lyon": 200, "nice": 90}, {"lyon": 9_500}):
        assert at_most(window(**others), 0.2, ENOUGH, seed=3)[1] == ()


def test_one_caller_has_nobody_to_be_compared_with() -> None:
    assert counted(lyon=9_500) == {"lyon": 9_500}
    assert at_most(window(lyon=9_500), 0.2, ENOUGH, seed=3)[1] == ()


def test_a_handful_of_anothers_accidents_does_not_leave_a_handful_of_everybodys() -> None:
    assert counted(lyon=9_500, tester=3) == {"lyon": 9_500, "tester": 3}
    assert counted(lyon=9_500, lille=1_000, tester=3) == {"lyon": 1_003, "lille": 1_000, "tester": 3}


def test_many_small_callers_together_are_somebody() -> None:
    small = {f"room{number}": 100 for number in range(10)}
    found = counted(**small, flood=50_000)
    assert found == small | {"flood": 333}, "a quarter: 1,000 accidents are three callers' of 300"


def test_no_cap_where_none_is_asked_for_and_none_in_what_is_empty() -> None:
    assert counted(None, **ROOMS, flood=50_000)["flood"] == 50_000
    kept, told = at_most(np.empty(0, dtype=object), 0.2, ENOUGH, seed=3)
    assert (len(kept), told) == (0, ())


@pytest.mark.parametrize("seed", range(20))
def test_whoever_calls_the_share_is_kept_and_enough_is_left_of_each(seed: int) -> None:
    random = np.random.default_rng(seed)
    sizes = random.integers(ENOUGH, 9_000, size=random.integers(2, 9))
    predictions = {f"room{number}": int(size) for number, size in enumerate(sizes)}
    found = counted(**predictions)
    assert max(found.values()) <= max(0.2, 1 / len(found)) * sum(found.values()) + 1e-6
    assert min(found.values()) >= ENOUGH
