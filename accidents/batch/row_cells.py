"""The text of one cell of an accident file to its value: BAAC code or word, number, time, yes or no."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

from accidents import words
from accidents.codes import Column, column
from accidents.common_words import common_words
from accidents.reading.cells import Cell, parser, plain

FIRST_YEAR = 2005  # of the BAAC files
Parser = Callable[[str], Cell]

# Local, as on the caller's clock: what has an offset, as UTC has, does not match.
_DATE_AND_TIME = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]+(\d{1,2}):(\d{1,2})(?::\d{1,2}(?:\.\d+)?)?)?"
)
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_YES_OR_NO = {"1": 1, "0": 0, "true": 1, "false": 0, "yes": 1, "no": 0, "oui": 1, "non": 0}
_PARTS = {"year": (FIRST_YEAR, 2100), "hour": (0, 23), "minute": (0, 59)}
_MOST = 99  # vehicles of a kind


def code(declared: Column) -> Parser:
    """Cells of a coded column: its BAAC code, or its English or French word in any case."""
    by_code = parser(declared, date.today().year)
    languages = [words.words(language)["codes"].get(declared.name, {}) for language in ("fr", "en")]
    spoken = [*languages, declared.codes]
    codes = {said.casefold(): str(number) for said, number in common_words(str(declared.name)).items()}
    codes |= {word.casefold(): number for each in spoken for number, word in each.items()}

    def parse(text: str) -> Cell:
        cell = by_code(text)
        if cell.action != "blanked":
            return Cell(cell.value)  # codes of other years are codes all the same
        number = codes.get(" ".join(text.casefold().split()))
        return cell if number is None else by_code(number)

    return parse


def whole(name: str, low: int, high: int) -> Parser:
    """Whole numbers between two bounds."""
    bounded = Column("accidents", name, name, "integer", "dispatch", name, range=(low, high))
    return parser(bounded, date.today().year)


def parser_of(name: str, table: str) -> Parser:
    """The parser of a column of `accidents` or `places` by its English name."""
    if name in _PARTS:
        return whole(name, *_PARTS[name])
    declared = column(name, table)
    if declared.kind == "code":
        return code(declared)
    return parser(declared, date.today().year)


def count(name: str) -> Parser:
    """How many vehicles of a kind."""
    return whole(name, 0, _MOST)


def yes_or_no(text: str) -> Cell:
    """1 or 0."""
    word = plain(text).lower()
    if word in ("", "-1"):
        return Cell(None)
    value = _YES_OR_NO.get(word)
    return Cell(value) if value is not None else Cell(None, "blanked", "not 1 or 0")


def degrees(text: str) -> Cell:
    """A coordinate with a point or a comma."""
    number = "".join(text.split()).replace(",", ".")
    if number in ("", ".", "-"):
        return Cell(None)
    if not _DECIMAL.fullmatch(number):
        return Cell(None, "blanked", "not a number")
    value = float(number)
    # Up to 2018 degrees were published times 100,000.
    good = abs(value) <= 180 * 100_000
    return Cell(value) if good else Cell(None, "blanked", "not a coordinate")


def date_and_time(text: str) -> tuple[dict[str, int], str]:
    """Year, month, day, hour and minute of an ISO time, as far as there are, and what is wrong with it."""
    if not text.strip():
        return {}, ""
    found = _DATE_AND_TIME.fullmatch(text.strip())
    if not found:
        return {}, "not a time such as 2026-11-22T18:30"
    year, month, day = (int(part) for part in found.groups()[:3])
    parts, wrong = _date(year, month, day)
    if found[4] is None:
        return parts, wrong
    hour, minute = int(found[4]), int(found[5])
    if hour > 23 or minute > 59:
        return parts, wrong or "not an hour of the day"
    return parts | {"hour": hour, "minute": minute}, wrong


def _date(year: int, month: int, day: int) -> tuple[dict[str, int], str]:
    last = date.today().year + 1
    if not FIRST_YEAR <= year <= last:
        return {}, f"the year is not between {FIRST_YEAR} and {last}"
    if not is_date(year, month, day):
        return {}, "not a date of the calendar"
    return {"year": year, "month": month, "day": day}, ""


def is_date(year: int, month: int, day: int) -> bool:
    """Whether the calendar has this day."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def vehicle_column(name: str) -> Parser:
    """The parser of what a vehicle says of itself."""
    return code(column(name, "vehicles"))


def user_column(name: str) -> Parser:
    """The parser of what a user says of themselves."""
    declared = column(name, "users")
    if declared.kind == "birth_year":
        return parser(replace(declared, range=(-1, 110)), date.today().year)
    return code(declared)


def shortened(value: Any) -> str:
    """A cell as a note shows it."""
    text = str(value)
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
