"""How much one caller counts, and whether a finding is one caller's doing.

Why: docs/decisions/0012-who-may-steer-the-loop.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

NO_KEY = "callers without a key"


def at_most(
    callers: npt.NDArray[np.object_], share: float | None, enough: int, seed: int
) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Which accidents count so that no caller is more than a share of those that do, and what was left out.

    A share that so few callers cannot keep to is an equal one for each: with three callers a third. Who has
    fewer than `enough` accidents is no caller of its own in this, else a handful would leave a handful of
    everybody's; those of all such callers together may be one. With one caller nothing can be left out.

    Parameters
    ----------
    callers : of each accident who asked.
    share : None leaves out nothing.
    enough : accidents that say something; so many of a caller's always count.
    """
    kept = np.ones(len(callers), dtype=bool)
    names, places, counts = np.unique(callers.astype(str), return_inverse=True, return_counts=True)
    voices = int(np.minimum(counts, enough).sum()) // enough
    if share is None or not len(counts):
        return kept, ()
    if voices < 2:
        return kept, _flood(names, counts, share, enough)
    share = max(share, 1 / voices)
    most = _most(counts, share)
    random, notes = np.random.default_rng(seed), []
    for place in np.flatnonzero(counts > most):
        own = np.flatnonzero(places == place)
        kept[random.choice(own, len(own) - most, replace=False)] = False
        notes.append(
            f"Counted {most:,} of {counts[place]:,} predictions of {names[place]}: "
            f"at most {share:.0%} of a window come from one caller."
        )
    return kept, tuple(notes)


def _flood(
    names: npt.NDArray[np.str_], counts: npt.NDArray[np.int_], share: float, enough: int
) -> tuple[str, ...]:
    """Say that one caller is most of a window of which nothing can be left out: the others are too few."""
    place, every = int(counts.argmax()), int(counts.sum())
    others = every - int(counts[place])
    if not others or counts[place] < enough or counts[place] <= max(share, 0.5) * every:
        return ()
    return (
        f"{counts[place]:,} of {every:,} predictions are of {names[place]}, and all count: the others' "
        f"{others:,} are fewer than {enough:,}, too few to be a window without. What is found may be of "
        "that caller alone.",
    )


def _most(counts: npt.NDArray[np.int_], share: float) -> int:
    """Return how many accidents of one caller are no more than its share of all that count."""

    def excess(most: int) -> float:
        return most - share * float(np.minimum(counts, most).sum())

    return bisect_right(range(int(counts.max()) + 1), 1e-6, key=excess) - 1  # 1e-6: rounding


def hangs_on(
    voices: Sequence[npt.NDArray[np.object_]], holds: Callable[[npt.NDArray[np.bool_]], bool]
) -> str | None:
    """Return the first caller without whom something does not hold; None if there is none.

    Where nobody has a key nobody can be told apart: all are on this machine, and it is not asked.

    Parameters
    ----------
    voices : of each accident who speaks in it, such as who asked and who labelled it; "" for nobody.
    holds : whether it holds of the accidents that are left, bool [n]; never asked where none is.
    """
    names = {str(name) for voice in voices for name in voice} - {""}
    for name in sorted(names if names != {NO_KEY} else ()):
        left = np.logical_and.reduce([voice != name for voice in voices])
        if not left.any() or not holds(left):
            return name
    return None
