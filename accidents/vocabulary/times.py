"""Local times as people and programs write them."""

from __future__ import annotations

import re
from datetime import date, time
from typing import NamedTuple

FIRST_YEAR = 2005  # of the BAAC files
SAY = "say the local time as 2026-11-22T18:30"
# Local, as on the caller's clock. A fraction of a second, or none, is what programs write.
_FORM = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[Tt ] *(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,]\d+)?)?)?", re.ASCII
)
_OFFSET = re.compile(r".*\d\s*(?:[zZ]|[+-]\d\d(?::?\d\d)?)", re.ASCII)


class Moment(NamedTuple):
    """A date and an hour, as far as they are known, and what is wrong with the rest."""

    date: date | None
    time: time | None
    wrong: str = ""


def read_time(text: str) -> Moment:
    """Read a date, or a date and a time of day, to the second."""
    text = text.strip()
    if not text:
        return Moment(None, None)
    match = _FORM.fullmatch(text)
    if not match:
        offset = text[10:] and _OFFSET.fullmatch(text)
        return Moment(None, None, f"has an offset; {SAY}" if offset else f"not a time; {SAY}")
    try:
        day = date(*map(int, match.groups()[:3]))
    except ValueError:
        day = None
    wrong = "" if day else "not a date of the calendar"
    if match[4] is None:
        return Moment(day, None, wrong)
    try:
        hour, minute, second = (int(part or 0) for part in match.groups()[3:])
        clock = time(hour, minute, second)
    except ValueError:
        return Moment(day, None, wrong or "not an hour of the day")
    return Moment(day, clock, wrong)
