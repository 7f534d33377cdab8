"""The text of one cell to its value: codes, whole numbers, widths, speeds and times.

A parser is called once per distinct text of a column, so it can afford to be careful.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from accidents.data.quality import Action
from accidents.vocabulary.codes import Column
from accidents.vocabulary.normal_form import NOT_STATED, WHOLE, plain
from accidents.vocabulary.value_parsers import read_whole

LAST_OLD_YEAR = 2018  # the format changed in 2019
_DECIMAL = re.compile(r"[+-]?[0-9]{1,15}(?:[.,][0-9]*)?|[+-]?[.,][0-9]+")
_CLOCK = re.compile(r"([0-9]{1,2})[:hH]([0-9]{1,2})(?::[0-9]{1,2})?")


class Cell(NamedTuple):
    """A value (None: missing), and what the quality report has to say about it."""

    value: int | float | str | None
    action: Action | None = None
    rule: str = ""


Parser = Callable[[str], Cell]
MISSING = Cell(None)


def parser(column: Column, year: int) -> Parser:
    """Return the parser of a column's cells in the files of a year.

    Raises KeyError for a kind of another module.
    """
    return _PARSERS[column.kind](column, year)


def _code(column: Column, year: int) -> Parser:
    text_codes = any(not code.isdigit() for code in column.codes)
    known = {code: code if text_codes else int(code) for code in column.codes if code not in column.missing}

    def parse(text: str) -> Cell:
        code = plain(text).upper()
        if code in known:
            in_use = column.codes_since.get(code, year) <= year <= column.codes_until.get(code, year)
            return Cell(known[code]) if in_use else Cell(known[code], "noted", "code of other years")
        if code in NOT_STATED or code in column.missing:
            return MISSING
        return Cell(None, "blanked", "not in the code list")

    return parse


def _integer(column: Column, year: int) -> Parser:
    low, high = map(int, column.range or (-(2**31), 2**31 - 1))

    def parse(text: str) -> Cell:
        try:
            return Cell(read_whole(text, low, high, column.missing))
        except ValueError as broken:
            return Cell(None, "blanked", str(broken))

    return parse


def _year(column: Column, year: int) -> Parser:
    """Years of two digits are of this century."""
    whole = _integer(column, year)

    def parse(text: str) -> Cell:
        cell = whole(text)
        return Cell(cell.value + 2000) if isinstance(cell.value, int) and 0 <= cell.value < 100 else cell

    return parse


def _width(column: Column, year: int) -> Parser:
    """Decimetres up to 2018, metres since; a width of 0 is not stated."""
    low, high = column.range or (0, 100)
    unit = 0.1 if year <= LAST_OLD_YEAR else 1.0

    def parse(text: str) -> Cell:
        number = plain(text)
        if number in NOT_STATED or number in column.missing:
            return MISSING
        if not _DECIMAL.fullmatch(number):
            return Cell(None, "blanked", "not a number")
        value = round(float(number.replace(",", ".")) * unit, 3)
        if value == 0:
            return MISSING
        return (
            Cell(value) if low <= value <= high else Cell(None, "blanked", f"not between {low} and {high} m")
        )

    return parse


def _birth_year(column: Column, year: int) -> Parser:
    """Return a parser of years of birth: the column's range is that of the age in the accident's year."""
    whole = _integer(replace(column, range=None), year)
    low, high = column.range or (0, 110)

    def parse(text: str) -> Cell:
        cell = whole(text)
        if isinstance(cell.value, int) and not low <= year - cell.value <= high:
            return Cell(None, "blanked", f"age not between {low} and {high}")
        return cell

    return parse


def _speed(column: Column, year: int) -> Parser:
    """Put a lost 0 (5) and an extra 0 (500) right; what else is no legal limit is blanked."""
    whole = _integer(replace(column, range=None), year)
    low, high = column.range or (10, 130)

    def parse(text: str) -> Cell:
        cell = whole(text)
        if not isinstance(cell.value, int) or low <= cell.value <= high:
            return cell
        if 1 <= cell.value <= 9:
            return Cell(cell.value * 10, "repaired", "a 0 was lost")
        if cell.value % 100 == 0 and low <= cell.value // 10 <= high:
            return Cell(cell.value // 10, "repaired", "a 0 too many")
        return Cell(None, "blanked", f"not between {low} and {high}")

    return parse


def _time(column: Column, year: int) -> Parser:
    """Minutes since midnight: 12:25, or digits without leading zeros (931 is 09:31, 5 is 00:05)."""

    def parse(text: str) -> Cell:
        digits = plain(text)
        if digits in NOT_STATED:
            return MISSING
        clock = _CLOCK.fullmatch(digits)
        if clock:
            hour, minute = int(clock[1]), int(clock[2])
        elif digits.isascii() and digits.isdigit() and len(digits) <= 4:
            hour, minute = divmod(int(digits), 100)
        else:
            return Cell(None, "blanked", "not a time")
        return Cell(hour * 60 + minute) if hour < 24 and minute < 60 else Cell(None, "blanked", "not a time")

    return parse


def _text(column: Column, year: int) -> Parser:
    """Free text with single spaces; a number in it loses padding and ".0"."""

    def parse(text: str) -> Cell:
        number = plain(text)
        if number in NOT_STATED or number in column.missing:
            return MISSING
        return Cell(number if WHOLE.fullmatch(number) else " ".join(text.split()))

    return parse


def _vehicle_label(column: Column, year: int) -> Parser:
    """Letter and digits, such as A01, in one piece and upper case."""

    def parse(text: str) -> Cell:
        label = "".join(text.split()).upper()
        return MISSING if label in NOT_STATED else Cell(label)

    return parse


_PARSERS: dict[str, Callable[[Column, int], Parser]] = {
    "code": _code,
    "integer": _integer,
    "year": _year,
    "birth_year": _birth_year,
    "width": _width,
    "speed": _speed,
    "time": _time,
    "text": _text,
    "id": _vehicle_label,
}
