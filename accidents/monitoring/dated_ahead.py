"""Predictions that an API has dated ahead: its clock was. They count in no window until their time comes."""

from __future__ import annotations

from datetime import datetime, timedelta

AHEAD = timedelta(hours=1)  # by which clocks may differ: after one has moved back, what it dated still counts


def latest(now: datetime) -> datetime:
    """Return the moment from which on predictions are dated ahead."""
    return now + AHEAD


def notes_on(count: int, until: datetime) -> tuple[str, ...]:
    """Say how many are left out for it."""
    if not count:
        return ()
    return (
        f"{count:,} predictions are dated later than {until:%Y-%m-%d %H:%M} UTC and count in no window until "
        "their time comes: the clock of an API is, or was, ahead. Set it right, and look whether this "
        "machine's is.",
    )
