"""Coded fields of an accident: a BAAC code, or its word in English or French, in any case."""

from __future__ import annotations

import difflib
from functools import cached_property
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from accidents.codes import column
from accidents.common_words import common_words
from accidents.words import word

NOT_STATED = -1  # what the published files say for it in every column
_SHOWN = 60  # characters of a wrong value that are echoed


class Coded:
    """Annotates a field with the column whose codes and words it takes; it holds the code.

    `null`, -1 and the column's own codes for "not stated" become None. The code list is read when first used.
    """

    def __init__(self, name: str, table: str) -> None:
        self.name, self.table = name, table

    @cached_property
    def words(self) -> dict[str | int, str]:
        """English word of each code that may be sent; the code is a number where it is one."""
        declared = column(self.name, self.table)
        return {
            int(code) if code.isdecimal() and self.name != "department" else code: word
            for code, word in declared.codes.items()
            if code not in declared.missing
        }

    @cached_property
    def _codes(self) -> dict[str | int, Any]:
        """Every spelling that is understood, to its code or None."""
        declared = column(self.name, self.table)
        french = {code: word(self.name, code, "fr") or own for code, own in self.words.items()}
        spellings: dict[str | int, Any] = {said.casefold(): code for code, said in french.items()}
        spellings |= {said.casefold(): code for said, code in common_words(self.name).items()}
        spellings |= {said.casefold(): code for code, said in self.words.items()}
        known: dict[str | int, Any] = {
            code.casefold() if isinstance(code, str) else code: code for code in self.words
        }
        not_stated: dict[str | int, Any] = {int(code): None for code in declared.missing if code.isdecimal()}
        return {**spellings, **known, **not_stated, NOT_STATED: None}

    def read(self, value: Any) -> Any:
        """The code of what was sent. Raises PydanticCustomError listing the words."""
        if value is None:
            return None
        key = value.strip().casefold() if isinstance(value, str) else value
        if type(key) in (str, int) and key in self._codes:
            return self._codes[key]
        raise PydanticCustomError("unknown_code", "{text}", {"text": self._refusal(value)})

    def _refusal(self, value: Any) -> str:
        shown = repr(value[:_SHOWN]) if isinstance(value, str) else _plain(value)
        near = difflib.get_close_matches(shown.strip("'").casefold(), map(str, self._codes), n=1, cutoff=0.6)
        hint = f" did you mean {near[0]!r}?" if near else ""
        known = ", ".join(f"{word!r} ({code})" for code, word in self.words.items())
        return f"{shown} is not a {self.name.replace('_', ' ')};{hint} known: {known}"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        numbers = [code for code in self.words if isinstance(code, int)]
        texts = [code for code in self.words if isinstance(code, str)]
        forms: list[dict[str, Any]] = [{"type": "string", "enum": [*texts, *self.words.values()]}]
        if numbers:
            forms.append({"type": "integer", "enum": numbers})
        declared = column(self.name, self.table)
        listed = "; ".join(f"{code} = {word}" for code, word in self.words.items())
        return {
            "anyOf": [*forms, {"type": "null"}],
            "description": f"{declared.label}, as a code or its word (any case, French too): {listed}",
        }


def _plain(value: Any) -> str:
    return str(value)[:_SHOWN] if isinstance(value, (bool, float)) else _number_or_kind(value)


def _number_or_kind(value: Any) -> str:
    """A number as it is unless it is absurdly long; of lists and objects only that they are."""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else "a number that large"
    return "a list" if isinstance(value, list) else "an object"
