"""Temporary folders go with their command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from commands.temporary_folder import PREFIX, scratch
from tests.conftest import ROOT


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_command_leaves_goes_with_it_also_when_it_fails(temporary: Path):
    with pytest.raises(ZeroDivisionError):
        _leave_things(temporary)
    assert list(temporary.iterdir()) == []
    assert tempfile.gettempdir() == str(temporary)


def _leave_things(temporary: Path) -> None:
    with scratch():
        Path(tempfile.mkdtemp(), "file").write_text("left")
        with scratch():
            tempfile.mkdtemp()
        assert len(list(temporary.rglob("*"))) == 3
        raise ZeroDivisionError


def test_what_a_killed_command_has_left_goes_with_the_next(temporary: Path):
    code = f"""
import os, tempfile
tempfile.tempdir = {str(temporary)!r}
from commands.temporary_folder import scratch
with scratch():
    tempfile.mkdtemp()
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    (left,) = temporary.iterdir()
    ours = temporary / f"{PREFIX}{os.getpid()}-abc"
    others = temporary / "somebody-elses"
    ours.mkdir()
    others.mkdir()
    with scratch():
        assert not left.exists()
    assert set(temporary.iterdir()) == {ours, others}


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives a folder to another user")
def test_it_goes_also_where_the_temporary_folder_is_another_users(temporary: Path):
    left, another = (temporary / f"{PREFIX}{2**22 + 1}-{name}" for name in ("ours", "theirs"))
    left.mkdir()
    another.mkdir()
    os.chown(temporary, 54321, -1)
    os.chown(another, 54321, -1)
    with scratch():
        assert not left.exists()
        assert another.exists()
