"""The first hour of a new version."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import cycle, islice

import numpy as np
import pytest

from accidents.monitoring.callers import NO_KEY
from accidents.monitoring.monitor_settings import ProbationPolicy
from accidents.monitoring.probation import Answer, Compared, Probe, Traffic, TrafficSeen, judge_probation

POLICY = ProbationPolicy()
SHARE = 0.2  # of the predictions, at most, from one caller
NONE = Compared(np.empty(0), np.empty(0), np.empty(0, dtype=object))
WELL = [Probe(0.01)] * 20
ROOMS = ("lyon", "lille", "nice", "brest", "metz", "dijon", "tours")


def compared(n: int, difference: float, callers: tuple[str, ...] = ("lyon", "lille")) -> Compared:
    before = np.linspace(0.1, 0.6, n)
    return Compared(before + difference, before, np.resize(np.array(callers, dtype=object), n))


def mixed(*parts: Compared) -> Compared:
    arrays = (np.concatenate([getattr(one, name) for one in parts]) for name in ("new", "before", "callers"))
    return Compared(*arrays)


def test_a_version_that_is_well_stays() -> None:
    verdict = judge_probation(WELL, compared(200, 0.03), POLICY, SHARE)
    assert (verdict.stays, verdict.reasons) == (True, ())
    assert verdict.difference == pytest.approx(0.03)


def test_errors_take_it_back() -> None:
    verdict = judge_probation([*WELL, Probe(1, "gone")], NONE, POLICY, SHARE)
    assert not verdict.stays
    assert "1 of 21 golden requests failed, the last: gone" in verdict.reasons[0]


def test_one_error_before_enough_is_known_does_not() -> None:
    assert judge_probation([Probe(1, "gone")], NONE, POLICY, SHARE).stays
    assert judge_probation([Probe(0.01)] * 60 + [Probe(1, "gone")], NONE, POLICY, SHARE).stays, (
        "below error_rate"
    )


def test_latency_takes_it_back_but_one_slow_answer_does_not() -> None:
    assert not judge_probation([Probe(0.5)] * 10, NONE, POLICY, SHARE).stays
    assert judge_probation([*WELL * 2, Probe(3.0)], NONE, POLICY, SHARE).stays


@pytest.mark.parametrize("difference", [0.15, -0.15])
def test_other_predictions_for_the_same_accidents_take_it_back(difference: float) -> None:
    verdict = judge_probation(WELL, compared(80, difference), POLICY, SHARE)
    assert not verdict.stays
    assert "from those of the version before on the same accidents" in verdict.reasons[0]
    assert judge_probation(WELL, compared(20, difference), POLICY, SHARE).stays, "too few to say"


def test_one_callers_choice_of_accidents_takes_no_version_back() -> None:
    alone = judge_probation(WELL, compared(300, 0.3, callers=("attacker",)), POLICY, SHARE)
    assert alone.stays
    assert "not without those of attacker" in alone.notes[0]
    chosen, usual = compared(300, 0.3, callers=("attacker",)), compared(200, 0.01)
    verdict = judge_probation(WELL, mixed(chosen, usual), POLICY, per_caller=None)
    assert (verdict.stays, verdict.reasons) == (True, ())
    assert verdict.difference == pytest.approx(0.184)


@pytest.mark.parametrize("others", [1, 3, 20])
def test_nor_does_a_handful_of_others_bear_witness(others: int) -> None:
    chosen = compared(300, 0.3, callers=("attacker",))
    verdict = judge_probation(WELL, mixed(chosen, compared(others, 0.2, ("lyon",))), POLICY, SHARE)
    assert (verdict.stays, verdict.reasons) == (True, ())


def test_one_callers_choice_among_seven_others_accidents_is_its_share_of_the_difference() -> None:
    usual = compared(700, 0.01, callers=ROOMS)
    among = mixed(compared(300, 0.4, callers=("attacker",)), usual)
    assert judge_probation(WELL, among, POLICY, per_caller=None).difference == pytest.approx(0.127)
    verdict = judge_probation(WELL, among, POLICY, SHARE)
    assert (verdict.stays, verdict.predictions) == (True, 875)
    assert verdict.difference == pytest.approx(0.2 * 0.4 + 0.8 * 0.01)
    assert "Counted 175 of 300 predictions of attacker" in verdict.notes[0]


def test_one_caller_does_not_hide_what_the_others_see() -> None:
    worse = mixed(compared(5_000, 0.0, callers=("attacker",)), compared(700, 0.15, callers=ROOMS))
    assert judge_probation(WELL, worse, POLICY, per_caller=None).stays
    verdict = judge_probation(WELL, worse, POLICY, SHARE)
    assert not verdict.stays
    assert "875 of its predictions are +0.120" in verdict.reasons[0]


def traffic(due: int, missed: int, spells: int = 0, callers: tuple[str, ...] = ("lyon", "lille")) -> Traffic:
    """Accidents of the callers in turns, all of them the version's."""
    counts = (Counter(islice(cycle(callers), count)) for count in (due, due, missed))
    return Traffic(*counts, (frozenset(callers),) * spells)


def end(traffic: Traffic, over: bool = True) -> tuple[bool, str]:
    verdict = judge_probation(WELL, NONE, POLICY, SHARE, traffic, over)
    return verdict.stays, " ".join((*verdict.reasons, *verdict.notes))


def test_a_canary_whose_accidents_the_champion_had_to_answer_does_not_pass() -> None:
    stays, told = end(traffic(20, 20))
    assert not stays
    assert "20 of the 20 accidents of its share were answered by the champion instead" in told
    assert end(traffic(20, 20), over=False)[0], "the next one may be answered"
    assert not end(traffic(100, 10, spells=3), over=False)[0]
    assert end(traffic(100, 1, spells=1)) == (True, "")


def test_one_slow_answer_takes_no_canary_back_however_many_waited_for_it() -> None:
    """At 40 accidents a second a time-out of two seconds is more than all that are allowed for a minute."""
    assert end(traffic(120, 40, spells=1), over=False)[0]
    assert not end(traffic(120, 120, spells=3), over=False)[0], "nobody answers"


def look(
    first: int, count: int, own: bool, request: str = "", due: bool = True
) -> dict[tuple[str, str], Answer]:
    """Accidents as a look at the log has them; of each number the caller is another."""
    return {
        (ROOMS[k % 7], f"accident-{k}"): Answer(f"{request}{k}", due, own)
        for k in range(first, first + count)
    }


def seen(*looks: dict[tuple[str, str], Answer]) -> Traffic:
    several = TrafficSeen()
    for one in looks:
        several.add(one)
    return several.traffic()


def test_what_a_look_has_seen_before_is_counted_once_and_is_no_new_spell() -> None:
    twice = seen(look(0, 70, own=False), look(0, 70, own=False), look(0, 70, own=False))
    assert (twice.came.total(), twice.due.total(), twice.missed.total()) == (70, 70, 70)
    assert twice.spells == (frozenset(ROOMS),)
    assert seen(look(0, 7, own=False), look(7, 7, own=True)).due == dict.fromkeys(ROOMS, 2)


def test_a_form_counts_as_it_was_answered_last_and_each_failure_of_it_is_seen() -> None:
    forms = [look(0, 70, own=False, request=name) for name in "abc"]
    assert seen(*forms) == Traffic(*[Counter(dict.fromkeys(ROOMS, 10))] * 3, (frozenset(ROOMS),) * 3)
    assert seen(*forms, look(0, 70, own=True, request="d")).missed == Counter()
    others = seen(look(0, 7, own=False, due=False))
    assert (others.came.total(), others.due, others.missed, others.spells) == (7, Counter(), Counter(), ())


def test_an_accident_counts_once_as_long_as_a_look_reads_it() -> None:
    """Of what no look reads any more the number is known, and no more."""
    asked, others = look(0, 70, own=False), look(70, 70, own=True)
    again = look(0, 70, own=True, request="later")
    assert seen(asked, asked | others, others | again).missed == Counter()
    late = seen(asked, others, again)
    assert (late.came.total(), late.due.total(), late.missed.total()) == (210, 210, 70)
    assert late.spells == (frozenset(ROOMS),)


def test_no_more_answers_are_kept_than_a_look_reads() -> None:
    """A probation may be a day, with millions of them."""
    several, held = TrafficSeen(), list[int]()
    tracemalloc.start()
    try:
        for first in range(0, 50_000, 1_000):
            several.add(look(first, 1_000, own=first % 2_000 == 0))
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[-1] < 2 * held[0]
    traffic = several.traffic()
    assert (traffic.came.total(), traffic.due.total(), traffic.missed.total()) == (50_000, 50_000, 25_000)
    assert len(traffic.spells) == 25


def test_what_it_misses_of_one_caller_takes_no_canary_back() -> None:
    """Who sends many at once that are the canary's has the champion answer some of them."""
    flood, others = traffic(900, 300, 30, callers=("attacker",)), traffic(100, 1, 1)
    stays, told = end(flood + others)
    assert stays
    assert "301 of the 1,000 accidents of its share were answered by the champion instead" in told
    assert "but not without those of attacker" in told
    assert not end(flood + traffic(100, 10, 3))[0], "the others miss it too"
    assert end(flood + traffic(20, 10, 3))[0], "they are too few to say"
    assert end(flood + Traffic(came=Counter({"lyon": 20})))[0], "what they ask is not the canary's"
    assert not end(traffic(900, 900, 30, callers=("lyon",)) + Traffic(came=Counter({"lille": 1})))[0], (
        "at the end nothing is known of its answers"
    )
    assert not end(traffic(900, 300, 30, callers=(NO_KEY,)), over=False)[0], "nobody can be told apart"


def test_where_one_caller_alone_asks_what_it_sees_counts() -> None:
    """It harms no other, and a canary that answers one of a thousand would pass."""
    stays, told = end(traffic(1_000, 999, 100, callers=("lyon",)))
    assert not stays
    assert "999 of the 1,000 accidents" in told
    assert not end(traffic(1_000, 500, 3, callers=("lyon",)), over=False)[0]
    assert end(traffic(1_000, 10, 3, callers=("lyon",)))[0], "fewer than `error_rate`"


def test_without_accidents_probes_alone_decide_and_that_is_said() -> None:
    assert end(Traffic()) == (True, "It is judged on probes alone: no accident came in.")
    told = "It is judged on probes alone: none of the 3 accidents that came was its to answer."
    assert end(Traffic(came=Counter({"lyon": 3}))) == (True, told)
    assert end(Traffic(), over=False) == (True, "")
