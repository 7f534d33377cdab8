"""The normal form of what stands in a cell."""

from __future__ import annotations

import re
import unicodedata

# Re-saved copies write 7 as 7.0; padded ones as 07.
WHOLE = re.compile(r"([+-]?[0-9]{1,15})(?:[.,]0*)?")
NOT_STATED = frozenset({"", ".", "-1"})  # in normal form, in every column
# How R, pandas and databases write a cell that holds nothing, in any case.
_NOTHING = frozenset({"na", "n/a", "<na>", "nan", "null", "none"})


def plain(text: str) -> str:
    """Return a cell's normal form: no spaces of any kind, "(1)" is "-1", "NA" "", no padding and no ".0"."""
    text = "".join(text.split())
    if "Â" in text:  # half of a no-break space that was decoded twice
        text = text.replace("Â", "")
    if text == "(1)":
        return "-1"
    if text.casefold() in _NOTHING:
        return ""
    whole = WHOLE.fullmatch(text)
    return str(int(whole[1])) if whole else text


def spoken(text: str) -> str:
    """Return the normal form of words: any case, accent, apostrophe or spacing says the same."""
    letters = unicodedata.normalize("NFKD", text.casefold().replace("’", "'"))
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).split())
