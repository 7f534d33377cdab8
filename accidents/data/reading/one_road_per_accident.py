"""Which road of an accident is kept: at a junction the published files hold several."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def further_roads(places: pd.DataFrame) -> pd.Series:
    """Return which rows of the places table are a further road of their accident.

    The road with the highest speed limit is none, the first of equals: the road class never differs between
    them, and the faster road is what makes an accident severe.

    Parameters
    ----------
    places : with `accident_id` and `speed_limit` (km/h, missing where none is stated), index unique.

    Returns
    -------
    bool [len(places)], on the index of `places`: True for all rows of an accident but one.
    """
    fastest_first = places.sort_values("speed_limit", ascending=False, na_position="last", kind="stable")
    return fastest_first["accident_id"].duplicated().reindex(places.index)
