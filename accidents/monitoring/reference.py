"""The accidents that a champion is measured against: what it saw last, and what it promised."""

from __future__ import annotations

import pandas as pd

REFERENCE_ROWS = 20_000  # enough for drift tests by feature within a month, small enough to carry along
HOLDOUT_ROWS = 10_000
MONTHS = 12


def latest_learnt(
    train: pd.DataFrame, calibration: pd.DataFrame, seed: int, most: int = REFERENCE_ROWS
) -> pd.DataFrame:
    """A sample of the last twelve months that were learnt from, calibration included.

    Not of all years: a field that has changed its form within them would look drifted for ever, though the
    champion knows the new form.
    """
    learnt = pd.concat([train, calibration])
    months = learnt["year"].astype(int) * 12 + learnt["month"].astype(int)
    return _sample(learnt[months > months.max() - MONTHS], seed, most)


def promised(test: pd.DataFrame, p_severe: pd.Series, seed: int, most: int = HOLDOUT_ROWS) -> pd.DataFrame:
    """A sample of the test part with the probabilities it was given: year, month, severe, p_severe."""
    scored = test[["year", "month", "severe"]].assign(p_severe=p_severe.to_numpy())
    return _sample(scored, seed, most)


def _sample(rows: pd.DataFrame, seed: int, most: int) -> pd.DataFrame:
    return rows.sample(min(most, len(rows)), random_state=seed).sort_index()
