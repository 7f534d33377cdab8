"""Coded fields of an accident: a BAAC code, or its word in English or French, in any case."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from accidents.did_you_mean import nearest
from accidents.vocabulary.code_parser import codes_of
from accidents.vocabulary.normal_form import spoken

_SHOWN = 60  # characters of a wrong value that are echoed


class Coded:
    """Annotates a field with the column whose codes and words it takes; it holds the code.

    `null`, an empty text, -1 and the column's own codes for "not stated" become None.
    """

    def __init__(self, name: str, table: str) -> None:
        self.name, self.table = name, table

    @property
    def words(self) -> dict[str | int, str]:
        """English word of each code that may be sent; the code is a number where it is one."""
        return codes_of(self.name, self.table).words

    def read(self, value: Any) -> Any:
        """Return the code of what was sent.

        Raises PydanticCustomError, which `refusal` puts into words if told.
        """
        if value is None:
            return None
        try:
            return codes_of(self.name, self.table).read(value)
        except LookupError:
            context = {"coded": self, "value": value}
            raise PydanticCustomError("unknown_code", "unknown code", context) from None

    def refusal(self, value: Any) -> str:
        """Say that this is none of the words, which was perhaps meant, and all there are."""
        shown, spellings = echo(value), codes_of(self.name, self.table).spellings
        near = nearest(spoken(shown.strip("'")), spellings)
        hint = f" did you mean {near!r}?" if near else ""
        known = ", ".join(f"{word!r} ({code})" for code, word in self.words.items())
        return f"{self._not_known(shown)};{hint} known: {known}"

    def brief_refusal(self, value: Any) -> str:
        """Return the same at next to no cost."""
        return f"{self._not_known(echo(value))}; /words lists what is known"

    def _not_known(self, shown: str) -> str:
        return f"{shown} is not a {self.name.replace('_', ' ')}"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        known = codes_of(self.name, self.table)
        numbers = sorted({int(code) for code in (*self.words, *known.not_stated) if _is_whole(code)})
        texts = sorted({"", *(str(code) for code in self.words), *known.not_stated})
        forms: list[dict[str, Any]] = [
            {"type": "string", "enum": [*texts, *self.words.values()]},
            {"type": "integer", "enum": numbers},
        ]
        listed = "; ".join(f"{code} = {word}" for code, word in self.words.items())
        return {
            "anyOf": [*forms, {"type": "null"}],
            "description": f"{known.declared.label}, as a code or its word (any case, French too): {listed}",
        }


def _is_whole(code: str | int) -> bool:
    return str(code).removeprefix("-").isdecimal()


def echo(value: Any) -> str:
    """Return what was sent as a message shows it: short, and of lists and objects only that they are."""
    return repr(value[:_SHOWN]) if isinstance(value, str) else _plain(value)


def _plain(value: Any) -> str:
    return str(value)[:_SHOWN] if isinstance(value, (bool, float)) else _number_or_kind(value)


def _number_or_kind(value: Any) -> str:
    """Return a number as it is unless it is absurdly long; of lists and objects only that they are."""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else "a number that large"
    return "a list" if isinstance(value, list) else "an object"
