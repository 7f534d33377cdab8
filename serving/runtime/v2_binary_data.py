"""Requests of V2 whose body is more than JSON, made into plain JSON before MLServer reads them.

MLServer unpacks gzip without a bound, and does not know the extension for binary tensors, which tritonclient
uses unless told otherwise: the header Inference-Header-Content-Length says how many bytes of the body are
JSON, and the parameter `binary_data_size` of an input how many of what follows are its values. Answers are
JSON in any case, which tritonclient reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import numpy as np
import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.gzip_body import CODINGS, unpacked
from serving.http_limits import Refused
from serving.runtime.guard import again, read, refuse

_HEADER_LENGTH = b"inference-header-content-length"
_SIZE = "binary_data_size"
_OUTPUT = "binary_data_output"
_TYPES = {
    "BOOL": "?", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


class PlainBodies:
    """Passes on requests with bodies of plain JSON, at most `limit` bytes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        coding = header_length = None
        for name, value in scope["headers"]:
            if name == b"content-encoding":
                coding = value.strip().lower()
            elif name == _HEADER_LENGTH:
                header_length = value
        if coding in (None, b"identity") and header_length is None:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._plain(coding, header_length, receive)
        except Refused as refused:
            await refuse(refused, send)
            return
        scope = {**scope, "headers": _headers_of(scope["headers"], body)}
        await self._app(scope, again([_message(body)], receive), send)

    async def _plain(self, coding: bytes | None, header_length: bytes | None, receive: Receive) -> bytes:
        body = b"".join(message.get("body", b"") for message in await read(receive, self._limit))
        if coding in CODINGS:
            body = unpacked(body, self._limit)
        elif coding not in (None, b"identity"):
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding: send gzip, or none.")
        return body if header_length is None else with_values(body, header_length)


def with_values(body: bytes, header_length: bytes) -> bytes:
    """Return the request as JSON, with the values that came as binary.

    Raises Refused naming what does not fit.
    """
    length = int(header_length) if header_length.isdigit() and len(header_length) < 20 else -1
    if not 0 <= length <= len(body):
        raise _wrong(f"Inference-Header-Content-Length is no length within the body of {len(body)} bytes.")
    try:
        request = orjson.loads(body[:length])
        inputs = [tensor for tensor in request["inputs"] if _SIZE in tensor.get("parameters", {})]
        parameters = request.setdefault("parameters", {})
        parameters.pop(_OUTPUT, None)
        for output in request.get("outputs", ()):
            output.get("parameters", {}).pop("binary_data", None)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _wrong("The part of the body that the header announces as JSON is no V2 request.") from None
    position = length
    for tensor in inputs:
        size = tensor["parameters"].pop(_SIZE)
        if type(size) is not int or not 0 <= size <= len(body) - position:
            raise _wrong(f"Input {_name(tensor)}: {_SIZE} is not the size of what the body holds for it.")
        values = body[position : position + size]
        tensor["data"] = _values(tensor, values, nan_is_missing=parameters.get("missing") == "nan")
        position += size
    if position != len(body):
        raise _wrong(f"{len(body) - position} bytes of the body belong to no input.")
    return orjson.dumps(request)


def _values(tensor: dict[str, Any], given: bytes, nan_is_missing: bool) -> list[Any]:
    kind = _TYPES.get(str(tensor.get("datatype")))
    if kind is None:
        raise _wrong(f"Input {_name(tensor)}: binary values are of one of {', '.join(_TYPES)}.")
    if len(given) % np.dtype(kind).itemsize:
        raise _wrong(f"Input {_name(tensor)}: {len(given)} bytes are no whole number of values.")
    values = np.frombuffer(given, kind)
    if values.dtype.kind == "f":
        if not nan_is_missing and np.isnan(values).any():
            raise _wrong(
                f'Input {_name(tensor)}: NaN stands for "not known" if the request says missing: nan.'
            )
        if np.isinf(values).any():
            raise _wrong(f"Input {_name(tensor)}: an infinity is out of range.")
    listed: list[Any] = values.tolist()  # NaN becomes null
    return listed


def _name(tensor: dict[str, Any]) -> str:
    return repr(str(tensor.get("name"))[:60])


def _headers_of(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
    replaced = {_HEADER_LENGTH, b"content-encoding", b"content-length", b"content-type", b"transfer-encoding"}
    kept = [(name, value) for name, value in headers if name not in replaced]
    return [
        *kept, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())
    ]  # fmt: skip


def _message(body: bytes) -> Message:
    return {"type": "http.request", "body": body, "more_body": False}


def _wrong(message: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, message)
