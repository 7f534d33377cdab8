"""So many rows at most, drawn at random, for what would take hours on all of them, and would hardly differ.

Which rows are drawn hangs on how many there are, and on the seed: on either engine they are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

MOST_LEARNT = 500_000  # by a baseline or a trial: a random forest learns on one thread


def drawn(rows: int, most: int, seed: int) -> npt.NDArray[np.int64] | None:
    """Draw the positions of `most` of so many rows, rising; None for all of them, where there are no more."""
    return None if rows <= most else np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def labelled_at_most(rows: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """Return the rows with a label; of more, those that `drawn` names. Their order stays."""
    labelled = rows[rows["severe"].notna()]
    positions = drawn(len(labelled), most, seed)
    return labelled if positions is None else labelled.iloc[positions]
