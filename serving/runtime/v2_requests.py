"""Requests of V2, from JSON: what is none is told as V2 has it, whatever server it comes to."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from serving.http_limits import Refused

_SHOWN = 5  # of what is wrong with a request

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BYTES",
]  # fmt: skip


class Parameters(BaseModel):
    """Whatever else is said, as attributes; the names are those that MLServer's own type checks."""

    model_config = ConfigDict(extra="allow")

    content_type: str | None = None
    headers: dict[str, Any] | None = None


class RequestInput(BaseModel):
    """A tensor."""

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: Parameters | None = None
    data: Any


class RequestOutput(BaseModel):
    """What is to be answered."""

    name: str
    parameters: Parameters | None = None


class InferenceRequest(BaseModel):
    """A request to predict: of servers that have no type for it, as MLServer has."""

    id: str | None = None
    parameters: Parameters | None = None
    inputs: list[RequestInput]
    outputs: list[RequestOutput] | None = None


Kind = TypeVar("Kind", bound=BaseModel)


def parsed(kind: type[Kind], body: bytes) -> Kind:
    """Return the request.

    Raises Refused (422) for what is none, with V2's `error`; FastAPI would have `detail`.
    """
    try:
        return kind.model_validate(orjson.loads(body))
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[:_SHOWN]
        words = "; ".join(f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg']}" for mistake in wrong)
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, words) from None
    except orjson.JSONDecodeError as error:
        message = f"The body is no JSON: {error}. What is not known is null: JSON has no NaN."
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, message) from None
