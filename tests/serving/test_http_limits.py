"""What is refused before the application sees it: all that is no body and does not end."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn

from serving.http_limits import LimitedProtocol, limited

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers the length of the body, and the names of the headers once the body is here."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    names = [name.decode() for name, _ in scope["headers"]]
    body = json.dumps({"size": size, "names": names, "path": scope["path"]}).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server with these limits."""
    protocol = limited(LimitedProtocol, patience=5.0, header_limit=20_000)
    config = uvicorn.Config(app, port=0, http=protocol, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def said(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


ENDLESS = {
    "a header": (GET + b"X-A: ", b"a" * 8_000, 431),
    "the name of a header": (GET, b"a" * 8_000, 431),
    "headers": (GET, b"X-A: b\r\n" * 20, 431),
    "large headers": (GET, b"X-A: " + b"b" * 3_000 + b"\r\n", 431),
    "the address": (b"GET /", b"a" * 3_000, 414),
    "the query": (b"GET /?", b"a" * 3_000, 414),
    "a trailer": (CHUNKED + b"0\r\nX-A: ", b"a" * 8_000, 431),
    "trailers": (CHUNKED + b"0\r\n", b"X-A: b\r\n" * 20, 431),
    "an extension of a chunk": (CHUNKED + b"1;", b"a" * 8_000, 431),
    "the length of a chunk": (CHUNKED, b"0" * 8_000, 431),
    "the method": (b"", b"G" * 3_000, 400),
    "the version": (b"GET / HTTP/1", b"1" * 3_000, 400),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_does_not_end_is_refused(port: int, what: str) -> None:
    begin, piece, status = ENDLESS[what]
    with connected(port) as connection:
        connection.sendall(begin)
        for _ in range(40):
            connection.sendall(piece)  # it may go on for a moment, so that it can read why
        connection.shutdown(socket.SHUT_WR)
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_one_large_header_at_once_is_told(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(GET + b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\n")
        assert said(connection).startswith(b"HTTP/1.1 431 ")


def test_who_goes_on_sending_is_cut_off(port: int) -> None:
    begun = time.monotonic()
    with connected(port) as connection, suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(GET + b"X-A: ")
        while time.monotonic() < begun + 8:
            connection.sendall(b"a" * 10_000)
    assert time.monotonic() - begun < 4


def test_what_is_usual_passes(port: int) -> None:
    request = b"POST /%s HTTP/1.1\r\n%sContent-Length: 500000\r\n\r\n%s"
    headers = b"".join(b"X-%d: %s\r\n" % (k, b"v" * 180) for k in range(90))
    with connected(port) as connection:
        one = request % (b"a" * 7_900, headers, b"b" * 500_000)
        connection.sendall(one + one + GET + b"Connection: close\r\n\r\n")
        answers = said(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(b'"size": 500000') == 2


def test_a_trailer_does_not_pass_for_a_header(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(CHUNKED + b"0\r\nX-API-Key: stolen\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        answer = said(connection)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["names"] == ["host", "transfer-encoding"]


def test_many_requests_at_once_are_answered_up_to_a_number_and_then_closed(port: int) -> None:
    with connected(port) as connection:
        connection.sendall((GET + b"\r\n") * 2_000)
        connection.shutdown(socket.SHUT_WR)
        answers = said(connection)
    assert 1 <= answers.count(b"HTTP/1.1 200 OK") <= 110
    assert b"400" not in answers


def test_what_is_wrong_after_a_request_does_not_spoil_its_answer(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(GET + b"\r\n" + b"nonsense\r\n\r\n")
        answers = said(connection)
    assert answers.startswith(b"HTTP/1.1 200 OK")
    assert answers.count(b"HTTP/1.1") == 1


def test_after_an_expectation_the_connection_ends(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(b"{}")
        assert b"connection: close" in said(connection)
