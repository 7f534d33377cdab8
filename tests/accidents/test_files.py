"""Written whole or not at all, with nothing left behind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from accidents.files import move_whole, whole_folder, write_whole

FULL = OSError(errno.ENOSPC, "No space left on device")


def full_disk(*_: object, **__: object) -> None:
    raise FULL


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_what_is_private_is_so_from_the_start(tmp_path: Path) -> None:
    write_whole(tmp_path / "key", b"secret", mode=0o600)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()])
def test_a_folder_that_cannot_be_made_leaves_the_old_one_alone(tmp_path: Path, error: BaseException) -> None:
    folder = tmp_path / "out"
    with whole_folder(folder) as part:
        (part / "a").write_text("old")

    def half() -> None:
        with whole_folder(folder) as part:
            (part / "b").write_text("half")
            raise error

    with pytest.raises(type(error)):
        half()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["out", "out/a"]


def test_a_folder_is_replaced_not_mixed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made = tmp_path / "made"
        made.mkdir()
        (made / name).write_text(name)
        (tmp_path / "out.tmp").mkdir(exist_ok=True)  # left by a run that was killed
        move_whole(made, tmp_path / "out")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["out", "out/b"]


def test_a_folder_that_cannot_be_copied_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a").write_text("a")
    monkeypatch.setattr("shutil.copyfile", full_disk)
    with pytest.raises(OSError, match="No space"):
        move_whole(tmp_path / "made", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
