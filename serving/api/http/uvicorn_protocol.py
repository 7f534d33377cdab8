"""What is refused before the application sees it, in the one shape of errors."""

from __future__ import annotations

from http import HTTPStatus
from uuid import uuid4

from serving.api.errors import ApiError
from serving.http_limits import LimitedProtocol, Refused

_CODES = {
    HTTPStatus.REQUEST_URI_TOO_LONG: "address_too_long",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "headers_too_large",
}


class ApiProtocol(LimitedProtocol):
    """The API's."""

    def refusal(self, refused: Refused) -> bytes:
        """Return the body that says why."""
        return ApiError(_CODES.get(refused.status, "bad_request"), refused.message).body(uuid4().hex)
