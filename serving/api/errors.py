"""The one shape of every error that leaves the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from accidents.errors import AccidentsError

# The HTTP status of each code; the OpenAPI document lists them.
STATUS: Mapping[str, int] = {
    "bad_request": 400,
    "key_missing": 401,
    "key_wrong": 401,
    "host_refused": 403,
    "origin_refused": 403,
    "scope_missing": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_timeout": 408,
    "too_large": 413,
    "address_too_long": 414,
    "content_type": 415,
    "invalid": 422,
    "too_many_requests": 429,
    "headers_too_large": 431,
    "defect": 500,
    "model_mismatch": 500,
    "busy": 503,
    "keys_unavailable": 503,
    "limits_unavailable": 503,
    "log_unavailable": 503,
    "loop_unavailable": 503,
    "model_unavailable": 503,
}
RETRY_AFTER = 1  # seconds, with every 503


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
        """Return the body of the answer."""
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "details": self.details,
                "request_id": request_id,
            }
        }

    def body(self, request_id: str) -> bytes:
        """Return the body of the answer as JSON."""
        return orjson.dumps(self.content(request_id))
