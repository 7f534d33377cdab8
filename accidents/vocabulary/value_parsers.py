"""Whole numbers, yes or no and communes as they are said: read in one way for the API and for files."""

from __future__ import annotations

from collections.abc import Collection

from accidents.vocabulary.normal_form import NOT_STATED, WHOLE, plain

_NOT_STATED = -1
_YES_OR_NO = {
    "1": True,
    "0": False,
    "true": True,
    "false": False,
    "yes": True,
    "no": False,
    "oui": True,
    "non": False,
}
_CORSICA = ("2A", "2B")


def read_whole(given: object, low: int, high: int, missing: Collection[str] = NOT_STATED) -> int | None:
    """Return a whole number between two bounds; None where it says that it is not known.

    Parameters
    ----------
    given : a number, or a text as programs write one: 50, 50.0, "50", " 050", "50,0".
    missing : texts in normal form that say that it is not known, beside those of every column.

    Raises
    ------
    ValueError
        Its text is the rule that the value breaks.
    """
    number = _number(given, missing)
    if number is not None and not low <= number <= high:
        raise ValueError(f"not between {low} and {high}")
    return number


def read_yes_or_no(given: object) -> bool | None:
    """Return what 1, 0, true, false or a word in English or French says; None where it is not known.

    Raises ValueError, whose text is the rule that it breaks.
    """
    if isinstance(given, bool):
        return given
    word = plain(given if isinstance(given, str) else str(given)).lower()
    if word in ("", "-1"):
        return None
    if word not in _YES_OR_NO:
        raise ValueError("not 1 or 0")
    return _YES_OR_NO[word]


def read_commune(given: object, department: str | None) -> str | None:
    """Return the INSEE code of five characters; up to three digits are put behind the department.

    Raises ValueError, whose text is the rule that it breaks.
    """
    number = plain(given if isinstance(given, str) else str(given)).upper()
    if number in ("", ".", "-1", "0"):
        return None
    if len(number) <= 3 and number.isdigit():
        if department is None:
            raise ValueError("a commune of a department that is not known")
        # Overseas the department takes three of the five: 971 + 024 and 971 + 124 are both 97124.
        number = department + (number[-2:].zfill(2) if len(department) == 3 else number.zfill(3))
    code = number.zfill(5)
    of_department = code[:2] in _CORSICA or code[:2].isdigit()
    if not (len(code) == 5 and code.isascii() and code[2:].isdigit() and of_department):
        raise ValueError("not a commune code")
    return code


def _number(given: object, missing: Collection[str]) -> int | None:
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if isinstance(given, int) and not isinstance(given, bool):
        return None if given == _NOT_STATED else given
    text = plain(given) if isinstance(given, str) else "?"
    if text in NOT_STATED or text in missing:
        return None
    if not WHOLE.fullmatch(text):
        raise ValueError("not a whole number")
    return int(text)
