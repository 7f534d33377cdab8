"""How much a caller may send, how long it may take, and how often."""

from __future__ import annotations

import asyncio
import codecs
import math
import re
import time
from http import HTTPStatus

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import ClientDisconnect, Request

from serving.api.errors import ApiError
from serving.gzip_body import CODINGS, unpacked
from serving.http_limits import Refused

_JSON = b"application/json"
_CHARSET = re.compile(rb'charset="?([^\s";]+)')


class _Storage(MemoryStorage):
    """Looks every ten seconds for what has expired.

    Its parent starts a thread to do so at nearly each request. What has expired is not counted in any case.
    """

    _SECONDS = 10.0
    _looked = 0.0

    def _MemoryStorage__schedule_expiry(self) -> None:  # noqa: N802 - its parent's private name
        if time.monotonic() - self._looked > self._SECONDS:
            self._looked = time.monotonic()
            self._MemoryStorage__expire_events()  # type: ignore[attr-defined]


class Rates:
    """Accidents and labels per minute of each caller, wrong keys per minute of each address; in memory.

    Of all APIs of a store together: serving/api/http/shared_rates.py.
    """

    def __init__(
        self, accidents_per_minute: int, wrong_keys_per_minute: int, labels_per_minute: int = 12_000
    ) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(_Storage())
        self._accidents = RateLimitItemPerMinute(accidents_per_minute, namespace="accidents")
        self._labels = RateLimitItemPerMinute(labels_per_minute, namespace="labels")
        self._wrong_keys = RateLimitItemPerMinute(wrong_keys_per_minute, namespace="wrong keys")

    async def charge(self, caller: str, accidents: int = 1) -> None:
        """Count accidents of a caller. Raises ApiError (429) if they are too many; those are not counted."""
        await self._hit(
            self._accidents, caller, accidents, "Too many accidents in a minute. Wait, then go on."
        )

    async def charge_labels(self, caller: str, labels: int) -> None:
        """Count labels of a caller: each may be a row of the log. Raises ApiError (429) as `charge` does."""
        await self._hit(self._labels, caller, labels, "Too many outcomes in a minute. Wait, then go on.")

    async def wrong_key(self, address: str) -> None:
        """Count a wrong key of an address. Raises ApiError (429) if they are too many."""
        await self._hit(self._wrong_keys, address, 1, "Too many wrong keys from this address. Wait.")

    async def _hit(self, limit: RateLimitItemPerMinute, who: str, cost: int, message: str) -> None:
        if self._limiter.hit(limit, who, cost=cost):
            return
        reset = self._limiter.get_window_stats(limit, who).reset_time
        raise too_many(message, reset - time.time())


def too_many(message: str, seconds: float) -> ApiError:
    """Refuse for so long."""
    wait = max(1, math.ceil(seconds))
    return ApiError("too_many_requests", message, headers={"Retry-After": str(wait)})


async def read_json(request: Request, limit: int, timeout: float) -> bytes:
    """Return the body of a request that must be JSON; unpacked, if it came as gzip.

    Raises
    ------
    ApiError
        content_type, too_large (over `limit` bytes, chunked or not, packed or not) or body_timeout (after
        `timeout` s).
    """
    announced, kind, coding = 0, b"", b""
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            kind = value.lower()
        elif name == b"content-length":
            announced = int(value) if value.isdigit() else 0
        elif name == b"content-encoding":
            coding = value.strip().lower()
    _require_json(kind, coding)
    if announced > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(timeout):
            body = await _read(request, limit)
    except TimeoutError:
        raise ApiError(
            "body_timeout", f"The body was not here within {timeout:g} s.", headers={"Connection": "close"}
        ) from None
    except ClientDisconnect:
        raise ApiError("bad_request", "The connection ended before the body did.") from None
    try:
        body = unpacked(body, limit) if coding in CODINGS else body
    except Refused as refused:
        code = "too_large" if refused.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else "bad_request"
        raise ApiError(code, refused.message) from None
    return body.removeprefix(codecs.BOM_UTF8)


def _require_json(kind: bytes, coding: bytes) -> None:
    if kind.partition(b";")[0].strip() != _JSON:
        raise ApiError("content_type", "Send JSON, with the header Content-Type: application/json.")
    charset = _CHARSET.search(kind)
    if charset and charset[1] not in (b"utf-8", b"utf8", b"us-ascii"):
        raise ApiError("content_type", "Send JSON in UTF-8.")
    if coding not in (b"", b"identity", *CODINGS):
        headers = {"Accept-Encoding": "gzip, identity"}
        raise ApiError("content_type", "Send JSON as it is, or with Content-Encoding: gzip.", headers=headers)


async def _read(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> ApiError:
    return ApiError("too_large", f"The body is larger than {limit} bytes.")
