"""Codes of a column as they are said: the BAAC code as number or text, or its word in English or French."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property

from accidents.vocabulary.codes import Column, column
from accidents.vocabulary.normal_form import NOT_STATED, plain, spoken
from accidents.vocabulary.vehicle_aliases import common_words
from accidents.vocabulary.words import words

_LONGEST = 200  # characters that are looked at


class Codes:
    """The codes of a column and every way to say them. The code list is read when first used."""

    def __init__(self, name: str, table: str) -> None:
        self.name, self.table = name, table

    @cached_property
    def declared(self) -> Column:
        """What codes.yaml says of the column."""
        return column(self.name, self.table)

    @cached_property
    def words(self) -> dict[str | int, str]:
        """English word of each code; the codes are numbers where all of the column's are."""
        return {code: self.declared.codes[text] for text, code in self._known.items()}

    @cached_property
    def not_stated(self) -> frozenset[str]:
        """Normal forms that say that it is not known."""
        return NOT_STATED | self.declared.missing

    @cached_property
    def spellings(self) -> Mapping[str, int | str | None]:
        """Every word in normal form (`spoken`) to its code; None for a word that says "not stated"."""
        spellings = [(word, str(number)) for word, number in common_words(self.name).items()]
        for language in ("fr", "en"):
            spellings += [(word, code) for code, word in words(language)["codes"].get(self.name, {}).items()]
        spellings += [(word, code) for code, word in self.declared.codes.items()]
        return {spoken(word): self._known.get(code) for word, code in spellings}

    def read(self, text_or_number: object) -> int | str | None:
        """Return the code of what was said; None where it says that it is not known.

        Raises LookupError if it is neither a code nor a word of the column.
        """
        if not isinstance(text_or_number, (str, int, float)) or isinstance(text_or_number, bool):
            raise LookupError("neither a number nor a text")
        text = str(text_or_number)
        if len(text) > _LONGEST:
            raise LookupError("longer than any word")
        code = plain(text).upper()
        if code in self._by_plain:
            return self._by_plain[code]
        return None if code in self.not_stated else self.spellings[spoken(text)]

    @cached_property
    def _known(self) -> dict[str, int | str]:
        """Codes as the code list writes them, to what the tables hold."""
        numbers = all(code.isdigit() for code in self.declared.codes)
        stated = [code for code in self.declared.codes if code not in self.declared.missing]
        return {code: int(code) if numbers else code for code in stated}

    @cached_property
    def _by_plain(self) -> dict[str, int | str]:
        """Codes in normal form: "01" of a département is "1" there."""
        return {plain(code).upper(): value for code, value in self._known.items()}


@cache
def codes_of(name: str, table: str) -> Codes:
    """Return the codes of a column, laid out once."""
    return Codes(name, table)
