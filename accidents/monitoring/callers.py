"""Whether a finding is one caller's doing: docs/decisions/0012-who-may-steer-the-loop.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

NO_KEY = "callers without a key"


def hangs_on(
    voices: Sequence[npt.NDArray[np.object_]], holds: Callable[[npt.NDArray[np.bool_]], bool]
) -> str | None:
    """The first caller without whom something does not hold; None if there is none.

    Parameters
    ----------
    voices : of each accident who speaks in it, such as who asked and who labelled it; "" for nobody.
    holds : whether it holds of the accidents that are left, bool [n]; never asked where none is.
    """
    for name in sorted({str(name) for voice in voices for name in voice} - {""}):
        left = np.logical_and.reduce([voice != name for voice in voices])
        if not left.any() or not holds(left):
            return name
    return None
