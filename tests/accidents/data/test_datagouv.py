"""Downloading when all goes well, what is here already, and the list of files."""

from __future__ import annotations

import datetime
import gzip
import hashlib
from pathlib import Path

import pytest

from accidents.data.sources.datagouv_download import BASE_URL, MANIFEST, download
from accidents.data.sources.published_files import published_files
from accidents.data.sources.retried_download import TransferSettings
from accidents.data.sources.year_files import TABLES, parse_name
from accidents.errors import SourceError
from tests.accidents.hasty_download import FIRST, NAME, YEAR, get, is_complete, manifest
from tests.accidents.hostile_server import (
    HostileServer,
    redirect,
)
from tests.accidents.published import csv_of, resource


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


def test_the_list_has_four_tables_a_year_under_names_that_are_found_again() -> None:
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
