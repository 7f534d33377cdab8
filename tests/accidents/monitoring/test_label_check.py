"""Labels of callers against a published year."""

from __future__ import annotations

from accidents.monitoring.callers import NO_KEY
from accidents.monitoring.label_check import compare_labels, disagreements

PUBLISHED = {str(number): number % 3 == 0 for number in range(1_000)}


def says(caller: str | None, accidents: int, wrong: int) -> list[tuple[str, str | None, bool]]:
    """What a caller says of the first accidents: the first of them wrongly."""
    return [(str(at), caller, PUBLISHED[str(at)] != (at < wrong)) for at in range(accidents)]


def test_who_errs_by_more_than_chance_is_named_and_nobody_else() -> None:
    found = compare_labels([*says("lyon", 500, 30), *says("attacker", 500, 250)], PUBLISHED)
    assert [(one.caller, one.compared, one.disagreeing, one.beyond_chance) for one in found] == [
        ("attacker", 500, 250, True), ("lyon", 500, 30, False),
    ]  # fmt: skip
    assert disagreements(found) == (
        "250 of 500 outcomes given by attacker are not the published ones: more than chance gives where 5% "
        "are wrong.",
    )


def test_a_few_wrong_ones_are_chance() -> None:
    assert [one.beyond_chance for one in compare_labels(says("lyon", 3, 1), PUBLISHED)] == [False]
    assert [one.beyond_chance for one in compare_labels(says("lyon", 100, 11), PUBLISHED)] == [False]


def test_many_callers_are_judged_more_strictly_each() -> None:
    alone = compare_labels(says("lyon", 100, 12), PUBLISHED)
    among = compare_labels([*says("lyon", 100, 12), *says("b", 9, 0), *says("c", 9, 0)], PUBLISHED)
    assert [one.beyond_chance for one in alone] == [True]
    assert [one.beyond_chance for one in among] == [False, False, False]
    assert alone[0].p_value == among[2].p_value


def test_the_last_word_on_an_accident_counts_once() -> None:
    found = compare_labels([*says("lyon", 50, 50), *says("lyon", 50, 0)], PUBLISHED)
    assert [(one.compared, one.disagreeing) for one in found] == [(50, 0)]


def test_accidents_that_were_not_published_are_not_compared() -> None:
    assert compare_labels([("2026-0001", "lyon", True)], PUBLISHED) == ()
    assert compare_labels([], PUBLISHED) == ()


def test_callers_without_a_key_are_one() -> None:
    assert compare_labels(says(None, 5, 0), PUBLISHED)[0].caller == NO_KEY
