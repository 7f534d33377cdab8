"""The accidents that a champion is measured against: what it saw last, and what it promised."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.vocabulary.months import month_name, month_number

REFERENCE_ROWS = 20_000  # enough for drift tests by feature within a month, small enough to carry along
HOLDOUT_ROWS = 10_000
MONTHS = 12


def latest_learnt(learnt: pd.DataFrame, seed: int, most: int = REFERENCE_ROWS) -> pd.DataFrame:
    """Return a sample of the last twelve months that were learnt from, calibration included.

    Not of all years: a field that has changed its form within them would look drifted for ever, though the
    champion knows the new form.
    """
    months = _months(learnt)
    return _sample(learnt[months > months.max() - MONTHS], seed, most)


def expected(reference: pd.DataFrame, holdout: pd.DataFrame | None) -> pd.DataFrame:
    """Accidents with `p_severe` as later ones are expected to get it, from trees that had not seen them.

    A refit brings its own, out of fold (`p_unseen` in the reference); other models have those of the test
    part, and those of before 0.3 only what they say of accidents they have learnt from.
    """
    if "p_unseen" in reference:
        unseen = reference[reference["p_unseen"].notna()]
        return unseen.assign(p_severe=unseen["p_unseen"])
    return reference if holdout is None else holdout


def promised(test: pd.DataFrame, p_severe: pd.Series, seed: int, most: int = HOLDOUT_ROWS) -> pd.DataFrame:
    """Return a sample of the test part with the probabilities it was given: year, month, severe, p_severe."""
    scored = test[["year", "month", "severe"]].assign(p_severe=p_severe.to_numpy())
    return _sample(scored, seed, most)


def learnt_from(*parts: pd.DataFrame) -> list[str]:
    """Return the months that rows are of, in order, as "2018-03"."""
    months = sorted({int(month) for part in parts for month in np.unique(_months(part))})
    return [month_name(month) for month in months]


def _months(rows: pd.DataFrame) -> npt.NDArray[np.int32]:
    """Return months since year 0, int32 [n]."""
    months: npt.NDArray[np.int32] = month_number(
        rows["year"].to_numpy(np.int32), rows["month"].to_numpy(np.int32)
    )
    return months


def _sample(rows: pd.DataFrame, seed: int, most: int) -> pd.DataFrame:
    return rows.sample(min(most, len(rows)), random_state=seed).sort_index()
