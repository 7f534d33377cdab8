"""HTTP/1.1 to one server over connections that are kept: what asking the model server takes, and no more.

Every prediction waits for this, and aiohttp's client takes five times as much of the processor.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from urllib.parse import unquote, urlsplit

import httptools


class _UnansweredError(ConnectionError):
    """A kept connection was closed before a byte of the answer: the server had ended it while it was idle."""


class Connections:
    """Asks one server; safe to use from several tasks of a loop.

    Parameters
    ----------
    url : http or https, with user and password if the server asks for them; paths are told below it.
    timeout : seconds for a question, connecting included.
    """

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if secure else 80)
        self._secure, self._path, self._timeout = secure or None, parts.path.rstrip("/"), timeout
        self._headers = f"Host: {parts.netloc.rpartition('@')[2]}\r\nContent-Type: application/json\r\n"
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers += f"Authorization: Basic {base64.b64encode(user.encode()).decode()}\r\n"
        self._idle: list[_Connection] = []

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises TimeoutError, or another OSError for a server that is gone or does not speak HTTP.
        """
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        request = head.encode("ascii") + body
        async with asyncio.timeout(self._timeout):
            while self._idle:
                try:
                    return await self._ask_over(self._idle.pop(), request)
                except _UnansweredError:
                    continue
            return await self._ask_over(await self._connect(), request)

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(loop), self._host, self._port, ssl=self._secure
        )
        return connection

    async def _ask_over(self, connection: _Connection, request: bytes) -> tuple[int, bytes]:
        try:
            answer = await connection.ask(request)
        except BaseException:  # cancelled, too: what still comes would answer the next question
            connection.close()
            raise
        if connection.kept:
            self._idle.append(connection)
        return answer


class _Connection(asyncio.Protocol):
    """One connection, with one question at a time on it; the methods `on_...` are called by its parser."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._parser = loop, httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body: list[bytes] = []
        self._silent, self._used, self.kept = True, False, True

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self._transport.is_closing():
            raise _UnansweredError
        self._answer, self._body, self._silent = self._loop.create_future(), [], True
        self._transport.write(request)
        answer = await self._answer
        self._used = True
        return answer

    def close(self) -> None:
        """Let go of it."""
        self._answer = None
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """Note that it is open."""
        self._transport: asyncio.Transport = transport

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        self._silent = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionAbortedError(f"an answer that is no HTTP: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the other side is gone, or that we closed."""
        self._fail(_UnansweredError() if self._silent and self._used else ConnectionResetError())

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        self._body.append(part)

    def on_message_complete(self) -> None:
        """Note that the answer is whole."""
        self.kept = self._parser.should_keep_alive()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), b"".join(self._body)))
        if not self.kept:
            self._transport.close()

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
