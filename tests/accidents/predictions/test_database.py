"""Opening the prediction log: files and servers that are new, foreign, locked, gone and back again."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from accidents.predictions.database import PredictionDatabase
from accidents.predictions.prediction_log import Label, PredictionLog, PredictionLogError
from tests.conftest import ROOT
from tests.postgres import PASSWORD, PostgresServer
from tests.predictions import START, connected, prediction

pytest_plugins = ("tests.log_fixtures",)  # the fixtures `address`, `log`, `postgres`


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A log in SQLite, made and closed."""
    path = tmp_path / "predictions.db"
    with closing(PredictionLog(f"sqlite:///{path}")) as log:
        log.create()
    return path


def test_making_it_again_keeps_what_is_there(address: str, log: PredictionLog) -> None:
    log.write([prediction()])
    with closing(PredictionLog(address)) as again:
        again.create()
        assert again.count() == 1


def test_many_may_make_it_at_once(address: str) -> None:
    logs = [PredictionLog(address) for _ in range(6)]
    start = threading.Barrier(6)

    def make(log: PredictionLog) -> None:
        start.wait()
        log.create()
        log.write([prediction()])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(make, logs))
    assert logs[0].count() == 6
    for log in logs:
        log.close()


def test_the_file_is_for_its_owner_only(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with closing(PredictionLog(f"sqlite:///{file}")) as log:
        log.write([prediction()])
        beside = list(file.parent.glob("predictions.db-*"))
        assert {stat.S_IMODE(path.stat().st_mode) for path in beside} == {0o600}
        assert {path.name for path in beside} == {"predictions.db-wal", "predictions.db-shm"}


def test_every_commit_is_flushed(file: Path) -> None:
    database = PredictionDatabase(f"sqlite:///{file}")
    settings = database.run(
        lambda connection: [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        ],
        write=False,
    )
    assert settings == ["wal", 2]
    database.close()


def test_a_relative_file_lies_in_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert PredictionLog("sqlite:///.serving/p.db").place == str(ROOT / ".serving/p.db")
    assert list(tmp_path.iterdir()) == []  # and nothing is opened yet


def test_another_version_is_refused(address: str, log: PredictionLog) -> None:
    with connected(address) as connection:
        connection.execute(text("UPDATE prediction_store_version SET version_num = '9999'"))
        connection.commit()
    with closing(PredictionLog(address)) as later:
        for work in (
            later.create,
            later.count,
            lambda: list(later.read()),
            lambda: later.write([prediction()]),
        ):
            with pytest.raises(
                PredictionLogError, match=r"revision 9999.*knows \d{4}\. Use the program that made it"
            ):
                work()


def test_another_database_is_refused_and_left_alone(address: str, tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir(exist_ok=True)
    with connected(address) as connection:
        connection.execute(text("CREATE TABLE labels (colour TEXT)"))
        connection.commit()
    with closing(PredictionLog(address)) as log:
        with pytest.raises(PredictionLogError, match=r"table 'labels' that is not"):
            log.create()
        with pytest.raises(PredictionLogError, match=r"holds no prediction log.*database upgrade"):
            log.count()
    with connected(address) as connection:
        assert connection.execute(text("SELECT colour FROM labels")).all() == []


def test_no_log_is_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(PredictionLogError, match=r"none\.db.*start the API"):
        PredictionLog(f"sqlite:///{tmp_path}/none.db").count()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    path = tmp_path / "note.db"
    path.write_text("dear diary " * 100)
    with pytest.raises(PredictionLogError, match=r"note\.db.*not a database.*Move the file away"):
        PredictionLog(f"sqlite:///{path}").create()
    assert path.read_text().startswith("dear diary")


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(PredictionLogError, match=r"x/p\.db cannot be made.*Correct the address"):
        PredictionLog(f"sqlite:///{tmp_path}/x/p.db").create()


def test_a_locked_file_is_told_within_a_second(file: Path) -> None:
    with closing(PredictionLog(f"sqlite:///{file}")) as log, closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = datetime.now(UTC)
        with pytest.raises(PredictionLogError, match=r"locked.*Another program"):
            log.write([prediction()])
        assert datetime.now(UTC) - begun < timedelta(seconds=2)
        assert log.count() == 0  # reading goes on
        other.rollback()
        log.write([prediction()])
        assert log.count() == 1


def test_a_file_that_was_deleted_takes_nothing_with_it(file: Path) -> None:
    """SQLite itself goes on writing happily into a file that has no name any more."""
    kept = file.with_name("kept.db")
    with closing(PredictionLog(f"sqlite:///{file}")) as log:
        log.write([prediction()])
        os.rename(file, kept)
        for _ in range(2):
            with pytest.raises(PredictionLogError, match="Put the file back"):
                log.write([prediction()])
        os.rename(kept, file)
        log.write([prediction()])
        assert log.count() == 2


def test_a_file_deleted_in_the_middle_of_a_commit(file: Path) -> None:
    database = PredictionDatabase(f"sqlite:///{file}")
    with pytest.raises(PredictionLogError, match="is gone"):
        database.run(lambda _: file.unlink(), write=True)
    database.close()


@pytest.mark.server
def test_a_server_that_goes_and_comes_back(postgres: PostgresServer) -> None:
    with closing(PredictionLog(postgres.new_database())) as log:
        log.create()
        log.write([prediction()])
        postgres.stop("immediate")
        try:
            for work in (log.count, lambda: log.write([prediction()]), lambda: list(log.read())):
                with pytest.raises(PredictionLogError, match=r"127\.0\.0\.1.*Is the server running"):
                    work()
        finally:
            postgres.start()
        assert log.count() == 1
        log.write([prediction()])
        assert len(list(log.read())) == 2


@pytest.mark.server
def test_a_restart_between_two_calls_is_no_error(postgres: PostgresServer) -> None:
    with closing(PredictionLog(postgres.new_database())) as log:
        log.create()
        works = (
            lambda: log.write([prediction(accident_id="A")]),
            log.count,
            lambda: list(log.read()),
            lambda: log.add_labels([Label(True, accident_id="A")]),
        )
        for work in works:
            postgres.stop()
            postgres.start()
            work()
        assert [row["severe"] for row in log.read()] == [True]


@pytest.mark.server
def test_a_wrong_password_is_told_without_it(postgres: PostgresServer) -> None:
    address = postgres.address("postgres", password="not-the-password")
    with pytest.raises(PredictionLogError, match="password authentication failed") as failed:
        PredictionLog(address).create()
    told = str(failed.value)
    assert "not-the-password" not in "".join(traceback.format_exception(failed.value)).replace(
        repr(address), ""
    )
    assert f"127.0.0.1:{postgres.port}/postgres" in told
    assert "Correct the user or password" in told


@pytest.mark.server
def test_what_the_caller_asks_of_the_connection_counts(postgres: PostgresServer) -> None:
    """Also another time zone: moments stay moments."""
    address = postgres.new_database() + "?options=-c%20timezone%3DAsia/Tokyo&application_name=mine"
    with closing(PredictionLog(address)) as log:
        log.create()
        log.write([prediction()])
        (row,) = log.read()
        assert row["created"] == START
        assert row["created"].tzinfo is UTC


@pytest.mark.server
@pytest.mark.parametrize(
    ("options", "lock_timeout", "timezone"),
    [
        ("", "900ms", "UTC"),
        ("?options=-c%20TimeZone%3DAsia/Tokyo", "900ms", "Asia/Tokyo"),
        ("?options=-c%20lock_timeout%3D5s%20-c%20timezone%3DAsia/Tokyo", "5s", "Asia/Tokyo"),
        ("?options=-c%20statement_timeout%3D7s", "900ms", "UTC"),
    ],
)
def test_what_the_address_does_not_set_is_ours(
    postgres: PostgresServer, options: str, lock_timeout: str, timezone: str
) -> None:
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log:
        log.create()

    def settings(connection: Connection) -> list[str]:
        return [connection.scalar(text(f"SHOW {name}")) or "" for name in ("lock_timeout", "timezone")]

    with closing(PredictionDatabase(address + options)) as database:
        for _ in range(2):  # also once a transaction was rolled back
            assert database.run(settings, write=False) == [lock_timeout, timezone]
            with pytest.raises(PredictionLogError):
                database.run(lambda connection: connection.execute(text("SELECT 1 / 0")), write=False)


def test_a_connection_begins_without_options_which_pgbouncer_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as other:

        def first_message() -> bytes:
            client, _ = server.accept()
            with client:
                return client.recv(4096)

        sent = other.submit(first_message)
        port = server.getsockname()[1]
        plain = "sslmode=disable&gssencmode=disable"  # the first message says who connects
        with pytest.raises(PredictionLogError):
            PredictionLog(f"postgresql://user:{PASSWORD}@127.0.0.1:{port}/db?{plain}").check()
        given = sent.result(10)
    assert b"application_name\0accidents" in given
    assert b"options" not in given


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://user:{}@host:port/db",
        "postgresql://user:{}@x@host/db",
        "postgresql://user:x@{}@host/db",
        "postgresql://user:p@{}/x@host/db",
        "postgresql://user:p@x?{}@host/db",
        "mysql://user:{}@host/db",
        "postgresql+asyncpg://user:{}@host/db",
        "{}",
        "",
    ],
)
def test_a_wrong_address_shows_no_password(address: str) -> None:
    with pytest.raises(PredictionLogError, match="sqlite:///FILE") as failed:
        PredictionLog(address.format(PASSWORD))
    assert PASSWORD not in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"])
def test_a_log_in_memory_is_refused(address: str) -> None:
    with pytest.raises(PredictionLogError, match="outlive"):
        PredictionLog(address)


def test_an_address_of_heroku_form() -> None:
    assert PredictionLog("postgres://u:p%40ss@db.example/log").place == "postgresql://db.example/log"
