"""`run.py clean`: nothing goes that was not shown."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from commands import clean
from tests.commands.test_output_folder import write_output


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clean, "ROOT", tmp_path)
    monkeypatch.setattr(clean, "MEGABYTE", 100)
    return tmp_path


@pytest.mark.parametrize(
    ("sure", "terminal", "answer", "goes"),
    [(False, False, True, False), (False, True, False, False), (False, True, True, True),
     (True, False, False, True)],
)  # fmt: skip
def test_what_is_old_is_shown_and_goes_only_if_a_person_says_so(
    monkeypatch: pytest.MonkeyPatch, sure: bool, terminal: bool, answer: bool, goes: bool
):
    shown, removed = io.StringIO(), list[str]()

    def remove() -> Any:
        assert "two old things" in shown.getvalue()
        for name in ("one", "another"):
            removed.append(name)
            yield name

    old = [clean.Old("two old things", 2, "the newest", remove), clean.Old("none", 0, "all", remove)]
    monkeypatch.setattr(clean, "_old", lambda *_: iter(old))
    monkeypatch.setattr(clean, "console", Console(file=shown, force_terminal=terminal, width=100))
    monkeypatch.setattr(clean.Confirm, "ask", lambda *_, **__: answer)
    params: Any = SimpleNamespace(keep=None)
    clean.clean(params, "local", sure)
    assert removed == ["one", "another"] * goes
    assert ("Nothing was removed" in shown.getvalue()) is not goes


def test_a_log_keeps_its_end_in_whole_lines_and_is_written_on(root: Path):
    (root / ".serving").mkdir()
    log, short = root / ".serving" / "api.log", root / ".serving" / "short.log"
    with log.open("ab") as writer:
        writer.write(b"".join(b"line %3d\n" % number for number in range(100)))
        writer.flush()
        short.write_bytes(b"short\n")
        found = clean._logs(1)
        assert found.count == 1
        assert list(found.remove()) == [log]
        writer.write(b"and on\n")
    lines = log.read_bytes().splitlines()
    assert lines == [*(b"line %3d" % number for number in range(89, 100)), b"and on"]
    assert short.read_bytes() == b"short\n"


def test_the_newest_reports_stay(root: Path):
    import os

    for age, name in enumerate(("new", "older", "oldest")):
        folder = root / "reports" / "inference" / name
        if name == "oldest":
            write_partitions(folder)
        else:
            write_output(folder)
        os.utime(folder, (1e9 - age, 1e9 - age))
    (root / "reports" / "inference" / "a persons own").mkdir()
    found = clean._reports(1)
    assert found.count == 2
    list(found.remove())
    left = {one.name for one in (root / "reports" / "inference").iterdir()}
    assert left == {"new", "a persons own"}
    assert clean._reports(None).count == 0


def write_partitions(folder: Path) -> Path:
    """What scoring by partition leaves."""
    (folder / "year=2021").mkdir(parents=True)
    for name in ("part-0000.parquet", "part-0000.json", "part-0000.set_aside.parquet"):
        (folder / "year=2021" / name).touch()
    (folder / "made_of.json").write_text("{}")
    (folder / "manifest.json").write_text("{}")
    return folder


@pytest.mark.parametrize("write", [write_output, write_partitions])
@pytest.mark.parametrize("name", ["my_notes.txt", "year=2021/my_notes.txt", "slides/talk.parquet"])
def test_a_folder_with_a_persons_file_beside_the_output_stays_and_is_named(
    root: Path, capsys: pytest.CaptureFixture[str], write: Any, name: str
):
    """`--output` refuses to replace it, for the same reason."""
    theirs = write(root / "reports" / "inference" / "2023") / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.touch()
    linked = root / "reports" / "inference" / "linked"
    linked.symlink_to(write(root / "elsewhere"))
    found = clean._reports(0)
    assert found.count == 0
    list(found.remove())
    assert theirs.exists()
    told = capsys.readouterr().out
    assert "Left alone, as other files are in it: reports/inference/2023\n" in told


def test_the_newest_sets_of_partitions_stay(root: Path):
    import os

    folder = root / ".serving" / "partitions"
    for age, name in enumerate(("rows-2", "tables-2", "rows-1", "tables-1", "models")):
        (folder / name / "year=2021").mkdir(parents=True)
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    found = clean._partitions(2)
    assert found.count == 2
    list(found.remove())
    assert {one.name for one in folder.iterdir()} == {"rows-2", "tables-2", "models"}
    assert clean._partitions(None).count == 0
