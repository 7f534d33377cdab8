"""Whether the outcomes that callers gave are those of a published year.

Why: docs/decisions/0012-who-may-steer-the-loop.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from accidents.monitoring.callers import NO_KEY
from accidents.monitoring.measurements import CallerLabels

TOLERATED = 0.05  # of a caller's labels may be wrong: nobody knows all that a hospital finds within 30 days
SIGNIFICANCE = 0.01  # chance of one caller or more among all being named for no reason


def compare_labels(
    given: Iterable[tuple[str, str | None, bool]], published: Mapping[str, bool]
) -> tuple[CallerLabels, ...]:
    """Each caller's labels of published accidents, by the name of the caller; an exact binomial test.

    Parameters
    ----------
    given : accident_id, who said so, and severe; of what one said of one accident the last counts.
    published : accident_id to severe.
    """
    by_giver: dict[str, dict[str, bool]] = {}
    for accident, giver, severe in given:
        if accident in published:
            by_giver.setdefault(giver or NO_KEY, {})[accident] = severe
    limit = SIGNIFICANCE / max(len(by_giver), 1)
    return tuple(_compared(name, by_giver[name], published, limit) for name in sorted(by_giver))


def disagreements(labels: Iterable[CallerLabels]) -> tuple[str, ...]:
    """Return a sentence about each caller that disagrees by more than chance."""
    return tuple(
        f"{of_caller.disagreeing:,} of {of_caller.compared:,} outcomes given by {of_caller.caller} are not "
        f"the published ones: more than chance gives where {TOLERATED:.0%} are wrong."
        for of_caller in labels
        if of_caller.beyond_chance
    )


def _compared(
    name: str, given: Mapping[str, bool], published: Mapping[str, bool], limit: float
) -> CallerLabels:
    from scipy.stats import binomtest

    wrong = sum(severe != published[accident] for accident, severe in given.items())
    p_value = float(binomtest(wrong, len(given), TOLERATED, alternative="greater").pvalue)
    return CallerLabels(
        caller=name,
        compared=len(given),
        disagreeing=wrong,
        p_value=p_value,
        beyond_chance=p_value < limit,
    )
