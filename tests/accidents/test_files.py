"""Written whole or not at all, with nothing left behind."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from accidents import files
from accidents.files import whole_content, whole_folder, write_whole
from tests.conftest import ROOT

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


def test_two_machines_may_write_the_same_file_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fsync = tmp_path / "a.txt", os.fsync

    def another_writes_meanwhile(file: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        write_whole(path, "same")  # from a container where the process has the same id

    monkeypatch.setattr(os, "fsync", another_writes_meanwhile)
    write_whole(path, "same")
    assert path.read_text() == "same"
    assert list(tmp_path.iterdir()) == [path]


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


def test_a_folder_is_replaced_not_mixed_and_keeps_what_it_is_to_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_ABANDONED", -1)
    for name in ("a", "b"):
        for left in (".out.01234567.tmp", ".out.01234567.before"):  # by a run that was killed
            (tmp_path / left).mkdir(exist_ok=True)
        with whole_folder(tmp_path / "out", keep=["kept", "never there"]) as part:
            (part / name).write_text(name)
        (tmp_path / "out" / "kept").write_text("by others")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "out",
        "out/b",
        "out/kept",
    ]


def test_two_may_replace_a_folder_at_once_and_the_last_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, replace = tmp_path / "out", os.replace

    def write(name: str) -> None:
        with whole_folder(folder) as part:
            (part / name).write_text(name)

    def another_is_faster(source: Path, target: Path) -> None:
        if target == folder:
            monkeypatch.setattr(os, "replace", replace)
            write("faster")
        replace(source, target)

    write("old")
    with whole_folder(folder) as part:
        (part / "first").write_text("first")
        write("meanwhile")
        (part / "last").write_text("last")
        monkeypatch.setattr(os, "replace", another_is_faster)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "out",
        "out/first",
        "out/last",
    ]


def test_a_folder_that_a_third_takes_away_meanwhile_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, away, replace = tmp_path / "out", tmp_path / "taken away", os.replace
    rounds = iter(("first", "a second is faster", "the third puts its own"))

    def others_are_between(source: Path, target: Path) -> None:
        now = next(rounds, "")
        if now == "a second is faster":
            (folder / "second").mkdir(parents=True)
            try:
                replace(source, target)
            finally:
                folder.rename(away)
        else:
            if now == "the third puts its own":
                away.rename(folder)
            replace(source, target)

    with whole_folder(folder) as part:
        (part / "old").write_text("old")
    with whole_folder(folder) as part:
        (part / "new").write_text("new")
        monkeypatch.setattr(os, "replace", others_are_between)
    assert next(rounds, None) is None
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["out", "out/new"]


def test_content_goes_in_whole_beside_what_others_have_there(tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "a").write_text("theirs")
    for names in (("page", "old/picture"), ("page", "new/picture")):
        with whole_content(tmp_path, ".ours.json") as part:
            for name in names:
                (part / name).parent.mkdir(exist_ok=True)
                (part / name).write_text(name)

    def half() -> None:
        with whole_content(tmp_path, ".ours.json") as part:
            (part / "page").write_text("half")
            raise FULL

    with pytest.raises(OSError, match="No space"):
        half()
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert written == [".ours.json", "new/picture", "others/a", "page"]
    assert (tmp_path / "page").read_text() == "page"


def test_what_a_killed_export_has_left_goes_after_a_day_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that writes still has a folder there, too; a person's hidden one is nobody's to remove."""
    (tmp_path / ".a_persons").mkdir()
    code = """
import os, sys; from pathlib import Path; from accidents.files import whole_content
with whole_content(Path(sys.argv[1]), ".ours.json") as part:
    (part / "page").write_text("half")
    os._exit(9)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False)
    (left,) = (path for path in tmp_path.iterdir() if path.name != ".a_persons")
    for days, there in ((0, True), (2, False)):
        later = time.time() + days * 86_400
        with monkeypatch.context() as moved:
            moved.setattr(time, "time", lambda moment=later: moment)
            with whole_content(tmp_path, ".ours.json") as part:
                (part / "page").write_text("whole")
        assert left.exists() is there
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a_persons", ".ours.json", "page"]
