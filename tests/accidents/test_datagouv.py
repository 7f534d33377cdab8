"""Downloading, from a server that does what servers and networks do."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from accidents.errors import SourceError
from accidents.sources.catalogue import published_files
from accidents.sources.datagouv import BASE_URL, MANIFEST, download
from accidents.sources.files import TABLES, YearFiles, parse_name
from accidents.sources.transfer import TransferSettings
from tests.accidents import hostile_server
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
from tests.accidents.published import all_of, csv_of, resource

YEAR = 2018
FIRST = resource("caracteristiques", YEAR)  # the first that is asked for
NAME = "caracteristiques-2018.csv"
HASTY = TransferSettings(
    connect_seconds=2.0,
    stall_seconds=0.8,
    slowest_bytes_per_second=2000.0,
    attempts=4,
    first_wait_seconds=0.01,
    longest_wait_seconds=2.0,
    max_bytes=1_000_000,
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy this machine has, 127.0.0.1 is reached directly."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with hostile_server.running() as state:
        state.files = all_of(YEAR)
        yield state


def get(server: HostileServer, folder: Path, refresh: bool = False) -> YearFiles:
    return download(folder, [YEAR], refresh, base_url=server.address, settings=HASTY)[YEAR]


def is_complete(server: HostileServer, folder: Path) -> bool:
    """Every table is there as the server has it, and nothing half-done is left."""
    there = {path.name for path in (folder / str(YEAR)).iterdir()}
    names = {file.file_name: server.files["/" + file.resource_id] for file in published_files([YEAR])}
    return there == set(names) and all(
        (folder / str(YEAR) / name).read_bytes() == body for name, body in names.items()
    )


def manifest(folder: Path) -> dict[str, dict[str, object]]:
    entries: dict[str, dict[str, object]] = json.loads((folder / MANIFEST).read_text())["files"]
    return entries


def asked_bytes(server: HostileServer, path: str = FIRST) -> list[tuple[str | None, int | None]]:
    """The range and the status of each request for a path."""
    return [(one.headers.get("Range"), one.status) for one in server.asked_for(path)]


# What should happen


def test_files_get_their_official_names_and_a_record_of_their_origin(
    server: HostileServer, tmp_path: Path
) -> None:
    files = get(server, tmp_path)
    assert files.paths == {table: tmp_path / "2018" / f"{table}-2018.csv" for table in TABLES}
    assert is_complete(server, tmp_path)
    entry = manifest(tmp_path)[f"2018/{NAME}"]
    assert entry["url"] == server.address + FIRST
    assert entry["sha256"] == hashlib.sha256(server.files[FIRST]).hexdigest()
    assert entry["bytes"] == len(server.files[FIRST])
    version = entry["version"]
    assert isinstance(version, dict)
    assert version["etag"].strip('"') == hashlib.sha256(server.files[FIRST]).hexdigest()[:16]
    recorded = datetime.datetime.fromisoformat(str(entry["recorded"]))
    assert abs(datetime.datetime.now(datetime.UTC) - recorded) < datetime.timedelta(minutes=1)


def test_a_line_per_file_where_there_is_no_terminal(
    server: HostileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    get(server, tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"{table}-2018.csv" for table in TABLES]
    assert all("downloaded" in line and "MB" in line for line in lines)


def test_what_is_here_is_not_asked_for_again(server: HostileServer, tmp_path: Path) -> None:
    get(server, tmp_path)
    before = (tmp_path / MANIFEST).read_bytes()
    server.asked.clear()
    get(server, tmp_path)
    assert server.asked == []
    assert (tmp_path / MANIFEST).read_bytes() == before


def test_refresh_fetches_only_what_changed(
    server: HostileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    get(server, tmp_path)
    server.files[FIRST] = csv_of("caracteristiques", YEAR, rows=1600)
    server.asked.clear()
    get(server, tmp_path, refresh=True)
    assert sorted(one.status or 0 for one in server.asked) == [200, 304, 304, 304]
    assert is_complete(server, tmp_path)
    assert manifest(tmp_path)[f"2018/{NAME}"]["bytes"] == len(server.files[FIRST])
    assert f"{NAME}: changed on the server" in capsys.readouterr().err


def test_redirects_are_followed(server: HostileServer, tmp_path: Path) -> None:
    server.files["/moved/file.csv"] = server.files[FIRST]
    server.script[FIRST] = [redirect("/moved/file.csv")]
    get(server, tmp_path)
    assert is_complete(server, tmp_path)
    version = manifest(tmp_path)[f"2018/{NAME}"]["version"]
    assert isinstance(version, dict)
    assert version["address"] == f"{server.address}/moved/file.csv"


def test_a_file_saved_by_hand_is_checked_and_kept(server: HostileServer, tmp_path: Path) -> None:
    by_hand = tmp_path / "2018" / NAME
    by_hand.parent.mkdir()
    by_hand.write_bytes(server.files[FIRST])
    get(server, tmp_path)
    assert server.asked_for(FIRST) == []
    assert manifest(tmp_path)[f"2018/{NAME}"]["url"] is None
    by_hand.write_bytes(csv_of("caracteristiques", 2017))
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(SourceError, match="not of 2018"):
        get(server, tmp_path)


# What passes: tried again, or gone on with


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


# What does not pass: what, where, remedy


def in_an_hour() -> str:
    return format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1))


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
        pytest.param(
            status(429, retry_after=in_an_hour()),
            "asks to wait 3",
            "Run the same command after",
            id="one hour",
        ),
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


# What is here already is not as it was


def test_an_altered_file_is_noticed_and_refresh_restores_it(server: HostileServer, tmp_path: Path) -> None:
    get(server, tmp_path)
    altered = tmp_path / "2018" / NAME
    altered.write_bytes(altered.read_bytes().replace(b",3,", b",5,"))
    with pytest.raises(SourceError, match=r"not the file that was downloaded.*--refresh"):
        get(server, tmp_path)
    get(server, tmp_path, refresh=True)
    assert is_complete(server, tmp_path)
    assert get(server, tmp_path).year == YEAR


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": {"a": {"sha256": 1}}}', '{"files": 3}'])
def test_an_unreadable_record_is_told(server: HostileServer, tmp_path: Path, content: str) -> None:
    get(server, tmp_path)
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(SourceError, match=r"sources\.json: not readable .*Move it away"):
        get(server, tmp_path)
    (tmp_path / MANIFEST).unlink()
    get(server, tmp_path)
    assert len(manifest(tmp_path)) == 4


@pytest.mark.parametrize("note", ["", "[]", '{"address": 1, "unknown": 2}'])
def test_a_part_without_a_readable_note_is_begun_anew(
    server: HostileServer, tmp_path: Path, note: str
) -> None:
    part = tmp_path / "2018" / f"{NAME}.part"
    part.parent.mkdir()
    part.write_bytes(b"rubbish")
    part.with_name(part.name + ".json").write_text(note)
    get(server, tmp_path)
    assert is_complete(server, tmp_path)


# Other processes


def in_another_process(server: HostileServer, folder: Path) -> subprocess.Popen[bytes]:
    code = (
        "import sys, pathlib\n"
        "from accidents.sources.datagouv import download\n"
        "download(pathlib.Path(sys.argv[1]), [2018], base_url=sys.argv[2])\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), server.address],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
    )


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("did not happen within 30 s")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_killed_download_goes_on_where_it_was(
    server: HostileServer, tmp_path: Path, how: signal.Signals
) -> None:
    server.script[FIRST] = [stall_after(9000)]
    part = tmp_path / "2018" / f"{NAME}.part"
    with in_another_process(server, tmp_path) as process:
        wait_for(lambda: part.exists() and part.stat().st_size == 9000)
        process.send_signal(how)
        assert process.wait(10) != 0
    assert {path.name for path in part.parent.iterdir()} == {part.name, part.name + ".json"}
    get(server, tmp_path)
    assert asked_bytes(server) == [(None, 200), ("bytes=9000-", 206)]
    assert is_complete(server, tmp_path)


def test_two_downloads_into_one_folder(server: HostileServer, tmp_path: Path) -> None:
    server.script[FIRST] = [stall_after(9000)]
    part = tmp_path / "2018" / f"{NAME}.part"
    with in_another_process(server, tmp_path) as process:
        wait_for(lambda: part.exists() and part.stat().st_size == 9000)
        with pytest.raises(SourceError, match=r"another download works in this folder.*Let it end"):
            get(server, tmp_path)
        server.let_go.set()
        assert process.wait(20) == 0
    assert is_complete(server, tmp_path)


# Encryption


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that nobody trusts yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "server.key", tmp_path / "server.pem"
    paths[0].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    paths[1].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return paths


@pytest.fixture
def tls_server(certificate: tuple[Path, Path]) -> Iterator[HostileServer]:
    key, signed = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed, key)
    with hostile_server.running(context) as state:
        state.files = all_of(YEAR)
        yield state


def test_a_redirect_may_not_leave_encryption(
    server: HostileServer,
    tls_server: HostileServer,
    certificate: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    get(tls_server, tmp_path / "encrypted")
    tls_server.script[FIRST] = [redirect(server.address + FIRST)]
    with pytest.raises(SourceError, match="no longer encrypted"):
        get(tls_server, tmp_path / "downgraded")
    assert server.asked == []


def test_a_certificate_nobody_trusts(
    tls_server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with pytest.raises(SourceError, match=r"certificate is not trusted.*SSL_CERT_FILE"):
        get(tls_server, tmp_path)
    assert tls_server.asked == []


# The catalogue


def test_the_catalogue_has_four_tables_a_year_under_names_that_are_found_again() -> None:
    files = published_files()
    assert [(file.year, file.table) for file in files] == [(y, t) for y in range(2005, 2025) for t in TABLES]
    assert len({file.resource_id for file in files}) == 80
    assert all(parse_name(file.file_name) == (file.table, file.year) for file in files)
    assert BASE_URL.startswith("https://")


@pytest.mark.realdata
@pytest.mark.parametrize("year", [2016, 2018, 2019, 2020, 2021, 2022])
def test_real_files_are_taken_for_what_they_are(
    server: HostileServer, tmp_path: Path, baac: Path, year: int
) -> None:
    real = {file.table: next(baac.glob(f"{year}*/{file.file_name}.gz")) for file in published_files([year])}
    server.files = {resource(table, year): gzip.decompress(path.read_bytes()) for table, path in real.items()}
    files = download(
        tmp_path, [year], base_url=server.address, settings=TransferSettings(attempts=1, stall_seconds=5)
    )[year]
    assert {table: path.read_bytes() for table, path in files.paths.items()} == {
        table: server.files[resource(table, year)] for table in TABLES
    }
