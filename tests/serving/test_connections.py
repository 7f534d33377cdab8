"""Kept connections to the model server: what it may do to them without a caller noticing, and what not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from serving.api.predicting.connections import Connections

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def asking(serve: Serve, ask: Callable[[Connections], Awaitable[Any]], timeout: float = 2) -> Any:
    """What `ask` gets from a server whose connections are each served by `serve`."""

    async def run() -> Any:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connections = Connections(f"http://user:p%20w@127.0.0.1:{port}/below", timeout)
        try:
            return await ask(connections)
        finally:
            connections.close()
            server.close()

    return asyncio.run(run())


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


def test_a_connection_is_kept_and_the_request_is_whole() -> None:
    seen: list[list[bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append([])
        while True:
            seen[-1].append(await request(reader))
            for part in (ANSWER[:9], ANSWER[9:], b"o", b"k"):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)

    async def ask(connections: Connections) -> list[Any]:
        return [await connections.ask("POST", "/infer", b"{}"), await connections.ask("GET", "")]

    assert asking(serve, ask) == [(200, b"ok")] * 2
    (((first, second)),) = seen
    assert first.startswith(b"POST /below/infer HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Basic dXNlcjpwIHc=\r\n" in first
    assert first.endswith(b"{}")
    assert second.startswith(b"GET /below HTTP/1.1\r\n")


def test_a_server_that_ends_an_idle_connection_as_it_is_used_again_is_asked_anew() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(ANSWER + b"ok")
        await request(reader)
        writer.close()

    async def ask(connections: Connections) -> list[Any]:
        return [await connections.ask("POST", "/infer", b"{}") for _ in range(3)]

    assert asking(serve, ask) == [(200, b"ok")] * 3


@pytest.mark.parametrize("answer", [b"", ANSWER, b"SSH-2.0-OpenSSH\r\n"])
def test_a_server_that_goes_away_or_speaks_no_http_is_an_error(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)
        writer.close()

    with pytest.raises(ConnectionError):
        asking(serve, lambda connections: connections.ask("POST", "/infer", b"{}"))


def test_an_answer_that_comes_too_late_is_not_that_of_the_next_question() -> None:
    waits = iter([0.3, 0, 0])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await request(reader)
            await asyncio.sleep(next(waits))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + asked[-1:])

    async def ask(connections: Connections) -> Any:
        with pytest.raises(TimeoutError):
            await connections.ask("POST", "/infer", b"1")
        return await connections.ask("POST", "/infer", b"2"), await connections.ask("POST", "/infer", b"3")

    assert asking(serve, ask, timeout=0.15) == ((200, b"2"), (200, b"3"))
