"""uvicorn's HTTP protocol with a time limit for requests, which uvicorn has not."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.api.errors import ApiError


class ImpatientProtocol(HttpToolsProtocol):
    """Closes a connection that does not deliver a whole request within `patience` seconds of its start.

    The start is the connection itself, or the first byte after the last request. A body that the app gives
    up on earlier gets its 408 from the app.
    """

    patience = 15.0  # seconds; set by `impatient`
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request may begin."""
        super().connection_made(transport)
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request."""
        if self._deadline is None:
            self._start_clock()
        super().data_received(data)

    def on_message_complete(self) -> None:
        """The request is here, body and all."""
        self._stop_clock()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone, or we closed."""
        self._stop_clock()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered in our shape too."""
        body = ApiError("bad_request", "This is no valid HTTP request.").body("")
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(STATUS_LINE[400] + head % len(body) + body)
        self.transport.close()

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


def impatient(patience: float) -> type[ImpatientProtocol]:
    """The protocol with this patience in seconds."""
    attributes: dict[str, Any] = {"patience": patience}
    return type("ImpatientProtocol", (ImpatientProtocol,), attributes)
