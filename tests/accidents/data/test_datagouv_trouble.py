"""Trouble that passes is tried again or gone on with; trouble that stays is told: what, where, remedy."""

from __future__ import annotations

import datetime
import gzip
import socket
import time
from collections.abc import Callable
from email.utils import format_datetime
from pathlib import Path

import pytest

from accidents.data.sources.datagouv_download import download
from accidents.errors import SourceError
from tests.accidents import hostile_server
from tests.accidents.hasty_download import FIRST, HASTY, NAME, YEAR, asked_bytes, get, is_complete, manifest
from tests.accidents.hostile_server import (
    Answer,
    HostileServer,
    announce,
    chunked_cut_after,
    cut_after,
    packed,
    packed_cut_after,
    range_of_another_version,
    redirect,
    stall_after,
    status,
    trickle,
    whole,
)
from tests.accidents.published import csv_of


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param([status(500), status(503)], id="server errors"),
        pytest.param([status(429, retry_after="0")], id="too many requests"),
        pytest.param([status(403, retry_after="0")], id="refused for a while"),
        pytest.param([cut_after(0)], id="cut before the first byte"),
        pytest.param([cut_after(9000)], id="cut"),
        pytest.param([cut_after(9000), whole], id="cut, then the range is ignored"),
        pytest.param([cut_after(9000), status(416)], id="cut, then the range is refused"),
        pytest.param([cut_after(9000, ETag='W/"weak"')], id="cut, weak ETag"),
        pytest.param([cut_after(9000, ETag="")], id="cut, no ETag"),
        pytest.param([stall_after(9000)], id="stalled"),
        pytest.param([trickle], id="too slow"),
        pytest.param([announce(200_000)], id="fewer bytes than announced"),
        pytest.param([chunked_cut_after(9000)], id="cut, no length told"),
        pytest.param([packed], id="gzip although not asked for"),
        pytest.param([packed_cut_after(2000), packed], id="gzip, cut and gone on with"),
        pytest.param([packed_cut_after(2000)], id="gzip, cut, then plain"),
    ],
)
def test_trouble_that_passes(server: HostileServer, tmp_path: Path, trouble: list[Answer]) -> None:
    server.script[FIRST] = list(trouble)
    get(server, tmp_path)
    assert server.script[FIRST] == []
    assert is_complete(server, tmp_path)


def test_after_a_cut_only_the_rest_is_asked_for(server: HostileServer, tmp_path: Path) -> None:
    server.script[FIRST] = [cut_after(9000)]
    get(server, tmp_path)
    assert asked_bytes(server) == [(None, 200), ("bytes=9000-", 206)]
    assert server.asked_for(FIRST)[1].headers["If-Range"].strip('"') in str(manifest(tmp_path))


@pytest.mark.parametrize("etag", ['W/"weak"', ""], ids=["weak ETag", "no ETag"])
def test_the_rest_is_not_asked_for_if_nothing_promises_the_same_bytes(
    server: HostileServer, tmp_path: Path, etag: str
) -> None:
    server.script[FIRST] = [cut_after(9000, ETag=etag)]
    get(server, tmp_path)
    assert asked_bytes(server) == [(None, 200), (None, 200)]


def test_the_whole_file_in_answer_to_a_range_replaces_the_part(server: HostileServer, tmp_path: Path) -> None:
    server.script[FIRST] = [cut_after(9000), whole]
    get(server, tmp_path)
    assert asked_bytes(server) == [(None, 200), ("bytes=9000-", 200)]
    assert is_complete(server, tmp_path)


@pytest.mark.parametrize("then", [None, range_of_another_version], ids=["If-Range heeded", "not heeded"])
def test_a_file_that_changes_between_cut_and_rest_is_not_patched_together(
    server: HostileServer, tmp_path: Path, then: Answer | None
) -> None:
    def cut_and_change(handler: hostile_server.Handler) -> None:
        cut_after(9000)(handler)
        before = server.files[FIRST]
        server.files[FIRST] = before.replace(b",3,", b",4,")
        assert len(server.files[FIRST]) == len(before)  # so that only the ETag tells

    server.script[FIRST] = [cut_and_change, *([then] if then else [])]
    get(server, tmp_path)
    assert is_complete(server, tmp_path)


def test_retry_after_is_waited_for(server: HostileServer, tmp_path: Path) -> None:
    server.script[FIRST] = [status(429, retry_after="1")]
    begun = time.monotonic()
    get(server, tmp_path)
    assert 1.0 <= time.monotonic() - begun < 5.0


def test_the_rest_comes_in_a_later_run(server: HostileServer, tmp_path: Path) -> None:
    server.script[FIRST] = [cut_after(9000), *[status(500)] * 3]
    with pytest.raises(SourceError, match="run the same command again"):
        get(server, tmp_path)
    assert not (tmp_path / "2018" / NAME).exists()
    get(server, tmp_path)
    assert asked_bytes(server)[-1] == ("bytes=9000-", 206)
    assert is_complete(server, tmp_path)


def in_an_hour(handler: hostile_server.Handler) -> None:
    """An hour from the request: hours may pass between the collection of tests and this one."""
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    status(429, retry_after=format_datetime(then))(handler)


def page(handler: hostile_server.Handler) -> None:
    body = b"<!DOCTYPE html><html><body>Maintenance</body></html>"
    handler.start(200, {"Content-Type": "text/csv", "Content-Length": len(body)})
    handler.send(body)


def sends(content: Callable[[], bytes], **headers: str) -> Answer:
    def answer(handler: hostile_server.Handler) -> None:
        body = content()
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.start(200, told | {"Content-Length": str(len(body))})
        handler.send(body)

    return answer


@pytest.mark.parametrize(
    ("answer", "what", "remedy"),
    [
        pytest.param(status(404), "404 Not Found", "has moved or is withdrawn", id="404"),
        pytest.param(status(410), "410 Gone", "save the file by hand as", id="410"),
        pytest.param(status(403), "403 Forbidden", "wait some minutes", id="403"),
        pytest.param(status(401), "401 Unauthorized", "check your proxy", id="401"),
        pytest.param(
            status(429), "429 Too Many Requests; gave up after 4 attempts", "Wait some minutes", id="429"
        ),
        pytest.param(status(500), "500 Internal Server Error; gave up", "Wait some minutes", id="500"),
        pytest.param(in_an_hour, "asks to wait 3", "Run the same command after", id="one hour"),
        pytest.param(status(418), "418", "Check the base address", id="another status"),
        pytest.param(redirect("/loop"), "more than 5 redirects", "Try later", id="redirect loop"),
        pytest.param(redirect("file:///etc/passwd"), "'file:///etc/passwd'", "not followed", id="to file"),
        pytest.param(redirect(""), "more than 5 redirects", "Try later", id="redirect to nowhere"),
        pytest.param(redirect("http://[::1"), "Invalid URL in location", "same command", id="to no address"),
        pytest.param(status(302), "302 Found", "Check the base address", id="redirect without address"),
        pytest.param(page, "a web page", "has moved", id="page with 200"),
        pytest.param(sends(lambda: b'{"error": 1}'), "a message", "has moved", id="JSON with 200"),
        pytest.param(sends(lambda: b""), "is empty", "try again later", id="empty"),
        pytest.param(
            sends(lambda: csv_of("caracteristiques", YEAR, 0)), "no rows", "has moved", id="no rows"
        ),
        pytest.param(
            sends(lambda: csv_of("lieux", YEAR)), "not those of the", "has moved", id="another table"
        ),
        pytest.param(
            sends(lambda: csv_of("caracteristiques", 2017)), "not of 2018", "has moved", id="other year"
        ),
        pytest.param(sends(lambda: gzip.compress(b"Num_Acc")), "archive", "has moved", id="archive"),
        pytest.param(sends(lambda: b"x", Content_Encoding="br"), "'br'", "Try later", id="brotli"),
        pytest.param(
            sends(lambda: b"\x1f\x8b", Content_Encoding="gzip"), "damaged", "Try later", id="bad gzip"
        ),
        pytest.param(
            sends(lambda: gzip.compress(bytes(2_000_000)), Content_Encoding="gzip"),
            "larger than 1,000,000 bytes",
            "Try later",
            id="gzip bomb",
        ),
        pytest.param(
            announce(50_000_000), "larger than 1,000,000 bytes", "Try later", id="announced too large"
        ),
        pytest.param(
            announce(20_005), "ends in the middle of a line", "try again later", id="announced short"
        ),
        pytest.param(announce(200_000), "broke off after", "go on from there", id="announced long"),
        pytest.param(trickle, "bytes in 0.", "go on from there", id="too slow"),
        pytest.param(stall_after(10), "no byte came for 0.8 s", "go on from there", id="stalled"),
    ],
)
def test_trouble_that_stays_is_told(
    server: HostileServer, tmp_path: Path, answer: Answer, what: str, remedy: str
) -> None:
    server.files["/loop"] = server.files[FIRST]
    server.script[FIRST] = [answer] * 10
    server.script["/loop"] = [redirect("/loop")] * 10
    with pytest.raises(SourceError) as told:
        get(server, tmp_path)
    message = str(told.value)
    assert message.startswith(f"{NAME}: ")
    assert what in message
    assert remedy in message
    assert not (tmp_path / "2018" / NAME).exists()
    assert set(server.script) == {FIRST, "/loop"}, "the other files were not asked for"


def test_an_endless_answer_is_ended(server: HostileServer, tmp_path: Path) -> None:
    def endless(handler: hostile_server.Handler) -> None:
        handler.start(200, {})
        for _ in range(1000):
            handler.send(bytes(10_000))
            if handler.client_is_gone:
                return

    server.script[FIRST] = [endless]
    with pytest.raises(SourceError, match=r"larger than 1,000,000 bytes"):
        get(server, tmp_path)
    assert list((tmp_path / "2018").iterdir()) == []


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(SourceError, match="no connection") as told:
            download(tmp_path, [YEAR], base_url=address, settings=HASTY)
    assert address in str(told.value)
    assert "--source sample" in str(told.value)


def test_base_address_must_be_http(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no http or https address .*Check the base address"):
        download(tmp_path, [YEAR], base_url="ftp://127.0.0.1", settings=HASTY)


@pytest.mark.parametrize(
    ("years", "words"),
    [
        ([2004], ["2004", "2005-2024", "nearest: 2005"]),
        ([2018, 2025, 2031], ["2025, 2031", "2005-2024", "nearest: 2024"]),
        ([], ["no year was asked for", "2005-2024"]),
    ],
)
def test_years_that_are_not_published(tmp_path: Path, years: list[int], words: list[str]) -> None:
    with pytest.raises(SourceError) as told:
        download(tmp_path / "new", years, base_url="http://127.0.0.1:9", settings=HASTY)
    assert all(word in str(told.value) for word in words)
    assert not (tmp_path / "new").exists()


def test_the_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SourceError, match=r"file.*cannot be written .*name another folder"):
        download(tmp_path / "file" / "below", [YEAR], base_url="http://127.0.0.1:9", settings=HASTY)
