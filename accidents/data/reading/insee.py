"""Departments and communes to the INSEE form, whichever of the two published forms they have."""

from __future__ import annotations

from collections.abc import Mapping

from accidents.data.reading.cell_parsers import LAST_OLD_YEAR, MISSING, Cell
from accidents.vocabulary.codes import column
from accidents.vocabulary.normal_form import plain
from accidents.vocabulary.value_parsers import read_commune


def is_old_form(counts: Mapping[str, int], year: int) -> bool:
    """Whether departments are written 590 rather than 59, by what a file holds, else by year.

    `counts` maps raw cells to how often they occur. 590 exists in the old form only, 59 in the new one only.
    """
    old = new = 0
    for text, count in counts.items():
        number = plain(text)
        if number.isascii() and number.isdigit() and len(number) < 4:
            old += count * (int(number) % 10 == 0 and 100 <= int(number) <= 950)
            new += count * (int(number) % 10 != 0 and int(number) <= 95)
    return year <= LAST_OLD_YEAR if old == new else old > new


def parse_department(text: str, old: bool) -> Cell:
    """INSEE code ("01", "2A", "974") of a raw department in the old or the new form."""
    number = plain(text).upper()
    if number in ("", ".", "-1", "0"):
        return MISSING
    if old and number in ("201", "202"):
        code = "2A" if number == "201" else "2B"
    elif old and number.isascii() and number.isdigit() and int(number) <= 950:
        code = number[:-1].zfill(2) if number.endswith("0") else "?"
    else:
        code = number.zfill(2)
    return Cell(code) if code in column("department").codes else Cell(None, "blanked", "not in the code list")


def parse_commune(number: str, department: str | None) -> Cell:
    """INSEE code of five characters from a cell; up to three digits are put behind the department."""
    try:
        return Cell(read_commune(number, department))
    except ValueError as broken:
        return Cell(None, "blanked", str(broken))


def department_of(commune: str) -> str | None:
    """Department of an INSEE commune code."""
    code = commune[:3] if commune[:2] in ("97", "98") else commune[:2]
    return code if code in column("department").codes else None
