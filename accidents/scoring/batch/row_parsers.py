"""The text of one cell of an accident file to its value: BAAC code or word, number, time, yes or no."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

from accidents.data.reading.cell_parsers import Cell, parser
from accidents.vocabulary.code_parser import codes_of
from accidents.vocabulary.codes import Column, column
from accidents.vocabulary.times import FIRST_YEAR, read_time
from accidents.vocabulary.value_parsers import read_yes_or_no

Parser = Callable[[str], Cell]

_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_PARTS = {"year": (FIRST_YEAR, 2100), "hour": (0, 23), "minute": (0, 59)}
_MOST = 99  # vehicles of a kind


def code(declared: Column) -> Parser:
    """Cells of a coded column: its BAAC code, or its English or French word in any case."""
    known = codes_of(str(declared.name), declared.table)

    def parse(text: str) -> Cell:
        try:
            return Cell(known.read(text))
        except LookupError:
            return Cell(None, "blanked", "not in the code list")

    return parse


def whole(name: str, low: int, high: int) -> Parser:
    """Whole numbers between two bounds."""
    bounded = Column("accidents", name, name, "integer", "dispatch", name, range=(low, high))
    return parser(bounded, date.today().year)


def parser_of(name: str, table: str) -> Parser:
    """Return the parser of a column of `accidents` or `places` by its English name."""
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
    try:
        value = read_yes_or_no(text)
    except ValueError as broken:
        return Cell(None, "blanked", str(broken))
    return Cell(None if value is None else int(value))


def degrees(text: str) -> Cell:
    """Return a coordinate with a point or a comma."""
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
    """Year, month, day, hour and minute of a time, as far as there are, and what is wrong with it."""
    day, clock, wrong = read_time(text)
    last = date.today().year + 1
    if day and not FIRST_YEAR <= day.year <= last:
        day, wrong = None, f"the year is not between {FIRST_YEAR} and {last}"
    parts = {"year": day.year, "month": day.month, "day": day.day} if day else {}
    return parts | ({"hour": clock.hour, "minute": clock.minute} if clock else {}), wrong


def is_date(year: int, month: int, day: int) -> bool:
    """Whether the calendar has this day."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def vehicle_column(name: str) -> Parser:
    """Return the parser of what a vehicle says of itself."""
    return code(column(name, "vehicles"))


def user_column(name: str) -> Parser:
    """Return the parser of what a user says of themselves."""
    declared = column(name, "users")
    if declared.kind == "birth_year":
        return parser(replace(declared, range=(-1, 110)), date.today().year)
    return code(declared)


def shortened(value: Any) -> str:
    """Return a cell as a note shows it."""
    text = str(value)
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
