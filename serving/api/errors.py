"""The one shape of every error that leaves the API."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from accidents.errors import AccidentsError

# The HTTP status of each code; the OpenAPI document lists them.
STATUS: Mapping[str, int] = {
    "bad_request": 400,
    "key_missing": 401,
    "key_wrong": 401,
    "host_refused": 403,
    "scope_missing": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_timeout": 408,
    "too_large": 413,
    "content_type": 415,
    "invalid": 422,
    "too_many_requests": 429,
    "defect": 500,
    "model_mismatch": 500,
    "busy": 503,
    "keys_unavailable": 503,
    "log_unavailable": 503,
    "loop_unavailable": 503,
    "model_unavailable": 503,
}
RETRY_AFTER = 1  # seconds, with every 503
_DETAILS = 20  # mistakes that are told, at most
_SHOWN = 60  # characters of a name that are echoed


class ApiError(AccidentsError):
    """Answered to the caller as it is: `code` is a key of STATUS, `details` say where and what."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, list(details)
        self.status = STATUS[code]
        self.headers = dict(headers or {})
        if self.status == 503:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER))

    def content(self, request_id: str) -> dict[str, Any]:
        """The body of the answer."""
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "details": self.details,
                "request_id": request_id,
            }
        }

    def body(self, request_id: str) -> bytes:
        """The body of the answer as JSON."""
        return orjson.dumps(self.content(request_id))


def invalid(model: type[BaseModel], error: ValidationError) -> ApiError:
    """What pydantic found wrong in a body, field by field; an unknown field with the nearest one."""
    mistakes = error.errors(include_url=False, include_input=False, include_context=False)
    details = [_detail(model, one) for one in mistakes[:_DETAILS]]
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    first = details[0]
    return ApiError("invalid", f"{first['where']}: {first['message']}{more}", details)


def _detail(model: type[BaseModel], one: Mapping[str, Any]) -> dict[str, str]:
    location = one["loc"]
    if one["type"] == "extra_forbidden":
        return {"where": where(location), "message": _unknown_field(model, location)}
    message = str(one["msg"]).removeprefix("Value error, ")
    return {"where": where(location), "message": message}


def where(location: Iterable[int | str]) -> str:
    """A place in a body as a person writes it: vehicles[0].category."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:_SHOWN]}" for part in location)
    return text.removeprefix(".") or "body"


def _unknown_field(model: type[BaseModel], location: Sequence[int | str]) -> str:
    fields = _fields_at(model, location[:-1])
    near = difflib.get_close_matches(str(location[-1])[:_SHOWN], fields, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(fields)}"
    return f"unknown field; {hint}"


def _fields_at(model: type[BaseModel], location: Iterable[int | str]) -> list[str]:
    """Names of the fields of the model that `location` leads to from `model`."""
    current = model
    for part in location:
        field = current.model_fields.get(str(part))
        inner = next(iter(_models_in(field.annotation)), None) if field else None
        current = inner or current
    return list(current.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)]
