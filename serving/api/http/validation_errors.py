"""What is wrong with a body, in words. The work is bounded by what is told, not by what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from accidents.did_you_mean import nearest
from accidents.strict import fields_at
from serving.api.errors import ApiError

_TOLD = 20  # mistakes of a request that are told in full: what was meant, what there is
_LISTED = 2_000  # mistakes of one accident that pydantic is asked to list, which takes 3 µs each
_SHOWN = 60  # characters of a name that are echoed


class Mistakes:
    """Tells what pydantic found wrong in one request, field by field.

    Once enough was told, an accident of a batch is still told its first mistake, not what was meant.
    """

    def __init__(self) -> None:
        self._left = _TOLD

    def of(self, model: type[BaseModel], error: ValidationError) -> ApiError:
        """Return the error that answers it."""
        count = error.error_count()
        if count > _LISTED:
            message = f"more than {_LISTED:,} mistakes, too many to list: compare it with /docs"
            return ApiError("invalid", f"body: {message}", [{"where": "body", "message": message}])
        mistakes = error.errors(include_url=False, include_input=False)[: max(1, self._left)]
        details = [self._detail(model, mistake) for mistake in mistakes]
        more = f" (and {count - 1} more)" if count > 1 else ""
        first = details[0]
        return ApiError("invalid", f"{first['where']}: {first['message']}{more}", details)

    def _detail(self, model: type[BaseModel], mistake: Mapping[str, Any]) -> dict[str, str]:
        location, in_full = mistake["loc"], self._left > 0
        self._left -= 1
        if mistake["type"] == "extra_forbidden":
            message = _unknown_field(model, location) if in_full else "unknown field"
        elif mistake["type"] == "unknown_code":
            coded, value = mistake["ctx"]["coded"], mistake["ctx"]["value"]
            message = coded.refusal(value) if in_full else coded.brief_refusal(value)
        else:
            message = str(mistake["msg"]).removeprefix("Value error, ")
        return {"where": where(location), "message": message}


def where(location: Iterable[int | str]) -> str:
    """Return a place in a body as a person writes it: vehicles[0].category."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:_SHOWN]}" for part in location)
    return text.removeprefix(".") or "body"


def _unknown_field(model: type[BaseModel], location: Sequence[int | str]) -> str:
    fields = fields_at(model, location[:-1])
    near = nearest(str(location[-1])[:_SHOWN], fields)
    hint = f"did you mean {near!r}?" if near else f"known here: {', '.join(fields)}"
    return f"unknown field; {hint}"
