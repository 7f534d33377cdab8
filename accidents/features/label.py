"""The label, which the model learns to predict: whether someone was killed or hospitalised."""

from __future__ import annotations

import numpy as np

from accidents.features.computations import Count
from accidents.features.year_view import Floats, YearView

# `grav` is a name, not a grade: 2, killed, is worse than 3, hospitalised; 4 is slightly hurt and 1 unharmed.
_KILLED_OR_HOSPITALISED = Count("users", "severity", frozenset({2, 3}))


def severe(year: YearView) -> Floats:
    """Return float32 [accidents]: 1, 0, or NaN where the severity of none of the users is known."""
    return np.minimum(_KILLED_OR_HOSPITALISED.of_year(year), np.float32(1))
