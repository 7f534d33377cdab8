"""What each look of the loop removes by `keep` of params.yaml; `run.py clean` removes that and more."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial

from accidents.params import KeepSettings
from accidents.predictions.leases import Lease, LeaseLostError
from accidents.predictions.retention import Ages
from accidents.predictions.store import PredictionStore
from commands.project import console
from commands.remedies import first_line

FORGET_SECONDS = 300  # a look waits so long: years of predictions go with several


def trim(keep: KeepSettings, store: PredictionStore, lease: Lease) -> None:
    """Remove old runs and predictions. What cannot be removed is told, and keeps nobody from looking.

    Parameters
    ----------
    lease : of the loop, held.

    Raises
    ------
    LeaseLostError : another loop has taken its place.
    """
    from pipelines import retention

    parts = {"runs": partial(retention.trim, keep), "predictions": partial(_forget, keep, store, lease)}
    for what, remove in parts.items():
        try:
            remove()
        except LeaseLostError:
            raise
        except Exception as error:
            why = first_line(error).rstrip(".")
            console.print(
                f"Old {what} could not be removed: {why}. The look goes on.", soft_wrap=True, markup=False
            )


def ages_of(keep: KeepSettings) -> Ages:
    """Return how old predictions may become."""
    days = (keep.prediction_days, keep.labelled_days)
    return Ages(*(None if count is None else timedelta(days=count) for count in days))


def _forget(keep: KeepSettings, store: PredictionStore, lease: Lease) -> None:
    """Remove predictions that are too old, and tell how many; another look goes on where time runs out."""
    removed, until, now = 0, time.monotonic() + FORGET_SECONDS, datetime.now(UTC)
    as_of = store.log.aged_as_of(now)
    try:
        for count in store.log.forget(ages_of(keep), as_of):
            removed += count
            if time.monotonic() > until:
                break
            lease.require()
    finally:
        if removed:
            console.print(f"Predictions older than params.yaml keeps, removed: {removed:,}.", highlight=False)
    if as_of < now:
        _tell_held_back(store, ages_of(keep), as_of, now)


def _tell_held_back(store: PredictionStore, ages: Ages, as_of: datetime, now: datetime) -> None:
    """Tell how many predictions are too old by this machine's clock alone."""
    held = store.log.count_held_back(ages, as_of, now)
    if held > 0:
        console.print(
            f"Predictions held back: {held:,}. They are too old by this machine's clock ({now:%Y-%m-%d}), "
            f"but the log has nothing, or only a few days, from after {as_of:%Y-%m-%d}: is the clock ahead? "
            "If it is right: `python run.py clean` removes them.",
            soft_wrap=True, markup=False, highlight=False,
        )  # fmt: skip
