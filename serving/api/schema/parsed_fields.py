"""Fields of an accident that are no codes: whole numbers, yes or no, communes, in any form that a file has.

What is sent as it is documented, nearly always, is told at once: a request is to cost no more for the rest.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from accidents.vocabulary.value_parsers import read_commune, read_whole, read_yes_or_no
from serving.api.schema.code_field import echo

_LONGEST = 200  # characters that are looked at
_WHOLE = r"^\s*([+-]?[0-9]{1,15}([.,]0*)?|\.)?\s*$"  # a whole number, or nothing known
_COMMUNE = r"^\s*([0-9]{1,5}([.,]0*)?|2[ABab][0-9]{3}|\.|-1)?\s*$"
_AS_DOCUMENTED = re.compile(r"[013-9][0-9]{4}|2[1-9AB][0-9]{3}")  # a commune's code
_NOT_KNOWN = -1
_ONE_SHORT = 4  # digits of a commune's five


_NONE: Mapping[str, Any] = {}


class _ParsedField(ABC):
    """Annotates a field with how it is read; `null`, an empty text and -1 become None."""

    rule: str  # that a list breaks, too
    remedy: str

    def __init__(self, description: str) -> None:
        self._description = description

    @abstractmethod
    def of(self, value: Any, before: Mapping[str, Any]) -> Any:
        """Return the value of a text or number, given the fields before it.

        Raises ValueError, whose text is the rule that it breaks.
        """

    @abstractmethod
    def forms(self) -> list[dict[str, Any]]:
        """Return JSON Schema of what may be sent."""

    def read(self, value: Any, before: Mapping[str, Any] = _NONE) -> Any:
        """Return the value of what was sent.

        Raises PydanticCustomError, which says what was sent, the rule that it breaks, and what to send.
        """
        if value is None:
            return None
        try:
            _require_text_or_number(value, self.rule)
            return self.of(value, before)
        except ValueError as broken:
            context = {"value": echo(value), "rule": str(broken), "remedy": self.remedy}
            raise PydanticCustomError("said", "{value} is {rule}; {remedy}", context) from None

    @abstractmethod
    def validator(self) -> Callable[..., Any]:
        """Return what pydantic calls: `read`, but for what is as documented."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validator())

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [*self.forms(), {"type": "null"}], "description": self._description}


class Whole(_ParsedField):
    """A whole number between two bounds."""

    rule = "not a whole number"

    def __init__(self, low: int, high: int, description: str) -> None:
        super().__init__(description)
        self._low, self._high, self.remedy = low, high, f"send a whole number from {low} to {high}"

    def validator(self) -> Callable[[Any], Any]:
        """Pass a number within the bounds."""
        low, high, read = self._low, self._high, self.read
        return lambda value: value if type(value) is int and low <= value <= high else read(value)

    def of(self, value: Any, before: Mapping[str, Any]) -> int | None:
        """Return the number."""
        return read_whole(value, self._low, self._high)

    def forms(self) -> list[dict[str, Any]]:
        """Return a number, or a text that holds one."""
        return [
            {"type": "integer", "minimum": self._low, "maximum": self._high},
            {"type": "integer", "enum": [_NOT_KNOWN]},
            {"type": "string", "pattern": _WHOLE, "maxLength": _LONGEST},
        ]


class YesOrNo(_ParsedField):
    """True or false."""

    rule, remedy = "not 1 or 0", "send true or false"

    def validator(self) -> Callable[[Any], Any]:
        """Pass true and false."""
        read = self.read
        return lambda value: value if value is True or value is False else read(value)

    def of(self, value: Any, before: Mapping[str, Any]) -> bool | None:
        """Return which it is."""
        return read_yes_or_no(value)

    def forms(self) -> list[dict[str, Any]]:
        """Return true and false, and the numbers and words for them."""
        words = ["true", "false", "1", "0", "yes", "no", "oui", "non", "", str(_NOT_KNOWN)]
        return [
            {"type": "boolean"},
            {"type": "integer", "enum": [1, 0, _NOT_KNOWN]},
            {"type": "string", "enum": words},
        ]


class Commune(_ParsedField):
    """INSEE code of a commune; up to three digits are put behind `department`, a field before it."""

    rule = "not a commune code"
    remedy = "send the INSEE code of five characters, as 59350, 2A004 or 97105"

    def validator(self) -> Callable[[Any, ValidationInfo], Any]:
        """Pass a code."""
        read, is_code = self.read, _AS_DOCUMENTED.fullmatch
        return lambda value, info: value if type(value) is str and is_code(value) else read(value, info.data)

    def of(self, value: Any, before: Mapping[str, Any]) -> str | None:
        """Return the code of five characters.

        A text of four digits may lack any of them: a number lacks the zero that it began with.
        """
        if isinstance(value, str) and len(value.strip()) == _ONE_SHORT and before.get("department") is None:
            raise ValueError(self.rule)
        return read_commune(value, before.get("department"))

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(self.validator())

    def forms(self) -> list[dict[str, Any]]:
        """Return a text, or a number as programs make one of it."""
        return [
            {"type": "string", "pattern": _COMMUNE, "maxLength": _LONGEST},
            {"type": "integer", "minimum": _NOT_KNOWN, "maximum": 99999},
        ]


def _require_text_or_number(value: Any, rule: str) -> None:
    """Raise ValueError for lists and objects, for NaN, and for a text longer than any that is read."""
    if not isinstance(value, (str, int, float)) or value != value:
        raise ValueError(rule)
    if isinstance(value, str) and len(value) > _LONGEST:
        raise ValueError(rule)
