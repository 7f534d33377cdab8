"""Files of the log that others remove, replace or cut while it is written: nothing confirmed is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from accidents.predictions.prediction_log import PredictionLog, PredictionLogError
from tests.predictions import prediction


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log" / "predictions.db"


@pytest.fixture
def log(file: Path) -> Iterator[PredictionLog]:
    """Three predictions, none of them in the main file yet."""
    log = PredictionLog(f"sqlite:///{file}")
    log.create()
    log.write([prediction() for _ in range(3)])
    yield log
    log.close()


def found_after_kill(file: Path, folder: Path) -> int:
    """How many predictions the next program would find if this one ended now."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for end in ("", "-wal"):
        beside = Path(f"{file}{end}")
        if beside.exists():
            shutil.copy(beside, folder / beside.name)
    with sqlite3.connect(folder / file.name) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM predictions").fetchone()[0])


@pytest.mark.parametrize("ends", [["-wal"], ["-shm"], ["-wal", "-shm"]])
def test_what_was_removed_is_written_again(
    log: PredictionLog, file: Path, tmp_path: Path, ends: list[str]
) -> None:
    for end in ends:
        os.unlink(f"{file}{end}")
    for count in range(4, 8):
        log.write([prediction()])
        assert found_after_kill(file, tmp_path / "copy") == count
    assert log.count() == 7


def test_also_before_a_reading_and_again(log: PredictionLog, file: Path, tmp_path: Path) -> None:
    for _ in range(3):
        os.unlink(f"{file}-wal")
        log.check()
        assert found_after_kill(file, tmp_path / "copy") == log.count()
        log.write([prediction()])
    assert log.count() == 6


def test_removed_while_a_commit_is_on_its_way(
    log: PredictionLog, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = log._database
    require = database._require_file

    def removed(opened: tuple[int, int] | None) -> None:
        os.unlink(f"{file}-wal")
        require(opened)

    monkeypatch.setattr(database, "_require_file", removed)
    log.write([prediction()])
    assert found_after_kill(file, tmp_path / "copy") == 4


@pytest.mark.parametrize("size", [0, 5_000])
def test_what_was_cut_off_is_told_and_nothing_more_is_confirmed(
    log: PredictionLog, file: Path, size: int
) -> None:
    whole = Path(f"{file}-wal").read_bytes()
    os.truncate(f"{file}-wal", size)
    for _ in range(2):
        with pytest.raises(PredictionLogError, match=r"-wal was cut off .* kill -9"):
            log.write([prediction()])
    with open(f"{file}-wal", "r+b") as wal:
        wal.write(whole)  # lets the test end in order
    assert log.count() == 3


def test_what_another_program_has_written_to_the_main_file_may_be_cut_off(
    log: PredictionLog, file: Path, tmp_path: Path
) -> None:
    with sqlite3.connect(file) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    other.close()
    assert Path(f"{file}-wal").stat().st_size == 0
    log.write([prediction()])
    assert found_after_kill(file, tmp_path / "copy") == 4


def test_a_log_that_another_program_began_anew_is_not_mixed(log: PredictionLog, file: Path) -> None:
    with open(f"{file}-new", "wb") as new:
        new.write(b"x" * 100)
    os.replace(f"{file}-new", f"{file}-wal")
    with pytest.raises(PredictionLogError, match="was removed or replaced"):
        log.write([prediction()])
    os.unlink(f"{file}-wal")
    log.write([prediction()])
    assert log.count() == 4


def test_another_log_in_its_place_is_not_mixed_with_what_belonged_to_the_first(
    log: PredictionLog, file: Path, tmp_path: Path
) -> None:
    other = PredictionLog(f"sqlite:///{tmp_path / 'other.db'}")
    other.create()
    other.close()
    os.replace(tmp_path / "other.db", file)
    with pytest.raises(
        PredictionLogError, match=r"was replaced, and .*-wal is still that of the file before"
    ):
        log.write([prediction()])
    for end in ("-wal", "-shm"):
        os.unlink(f"{file}{end}")
    log.write([prediction()])
    assert log.count() == 1


def test_writing_keeps_its_connection_until_it_is_closed(log: PredictionLog, file: Path) -> None:
    engine = log._database._engine
    taken: list[object] = []
    event.listen(engine, "checkout", lambda connection, *_: taken.append(connection))
    for _ in range(3):
        log.write([prediction()])
    assert not taken  # the way to a pool and back takes as long as writing a row
    log.close()
    assert not Path(f"{file}-wal").exists()  # so nothing holds the file any more
    log.write([prediction()])
    assert log.count() == 7
