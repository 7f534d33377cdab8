"""uvicorn's HTTP protocol with the limits that uvicorn has not: of time, and of all that is no body.

uvicorn keeps whatever comes before a body, however long it is, and before anybody is asked for a key. Here a
request is refused as soon as its address, headers or trailers are too long, or do not end.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, NoReturn

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

HEADER_LIMIT = 32_000  # bytes
_FIELDS = 100  # header lines of a request, trailers included
_ADDRESS = 8_000  # bytes of path and query
_PIPELINED = 100  # requests that wait for the answer of the one before
_LINGER = 1.0  # seconds that who is refused may go on sending, and so reads why; it is dropped


class Refused(Exception):  # noqa: N818 - a state, not a mistake
    """A request that is not read to its end."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class LimitedProtocol(HttpToolsProtocol):
    """Closes a connection on which no whole request comes within `patience` seconds.

    They count from the connection, and from the first byte after the last request.
    """

    patience = 15.0  # seconds
    header_limit = HEADER_LIMIT  # bytes of the headers of a request, trailers included

    _deadline: asyncio.TimerHandle | None = None
    _refused = False
    _why = Refused(HTTPStatus.BAD_REQUEST, "This is no valid HTTP request.")
    _size = _fields = 0  # bytes and lines of this request's headers
    _silent = 0  # bytes in which the parser found nothing whole; it keeps them
    _in_trailers = False

    def refusal(self, refused: Refused) -> bytes:
        """Return the body that says why, as JSON."""
        return json.dumps({"error": refused.message}).encode()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the other side is gone, or that we closed."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take some bytes of a request."""
        if self._refused:
            return
        if self._deadline is None:
            self._start_clock()
        self._silent += len(data)
        super().data_received(data)
        if self._silent > self.header_limit and not self._refused:
            self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._size = self._fields = self._silent = 0
        self._in_trailers = False
        if len(self.pipeline) >= _PIPELINED:
            self._stop(Refused(HTTPStatus.BAD_REQUEST, "Too many requests wait on this connection."))
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take some of the address."""
        self._silent = 0
        if len(self.url) + len(url) > _ADDRESS:
            self._stop(
                Refused(HTTPStatus.REQUEST_URI_TOO_LONG, f"Longer than {_ADDRESS} bytes: the address.")
            )
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; or a trailer, which must not pass for a header."""
        self._silent = 0
        self._size += len(name) + len(value)
        self._fields += 1
        if self._size > self.header_limit or self._fields > _FIELDS:
            self._stop(self._too_large())
        if not self._in_trailers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Expect a body."""
        self._silent = 0
        self._in_trailers = True
        super().on_headers_complete()
        if self.expect_100_continue:  # refused early, it may send the body or not: nobody can tell
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take some of the body."""
        self._silent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is here, body and all."""
        self._silent = 0
        self._stop_clock()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser stopped at: no HTTP, or what one of the above did not take."""
        self._refuse(self._why)

    def _too_large(self) -> Refused:
        limits = f"at most {_FIELDS} lines and {self.header_limit} bytes"
        return Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The headers are too large: {limits}.")

    def _stop(self, why: Refused) -> NoReturn:
        self._why = why
        raise why  # ends in `send_400_response`

    def _refuse(self, why: Refused) -> None:
        """Answer why, unless other answers are on their way, and close."""
        self._refused = True
        self._stop_clock()
        newest: RequestResponseCycle | None = self.cycle
        if newest and not newest.response_complete:
            if not newest.more_body:  # what is wrong came after it
                newest.keep_alive = False
                return
            newest.disconnected = True
            newest.message_event.set()
            if newest.response_started or self.pipeline:
                self.transport.close()
                return
        body = self.refusal(why)
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(STATUS_LINE[why.status] + head % len(body) + body)
        self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)

    def _start_clock(self) -> None:
        self._deadline = self.loop.call_later(self.patience, self._give_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def limited(protocol: type[LimitedProtocol], **limits: Any) -> type[LimitedProtocol]:
    """Return the protocol with these limits, by their names."""
    return type(protocol.__name__, (protocol,), limits)
