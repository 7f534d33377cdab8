"""A failed test leaves no server running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.processes import processes_of

FAILS = """
import subprocess
from tests.leftovers import nothing_is_left


def test_that_fails(tmp_path):
    subprocess.Popen(["sleep", "300"], cwd=tmp_path, start_new_session=True)
    subprocess.Popen(["sleep", "1"], cwd=tmp_path, start_new_session=True)
    assert False, "before it could end what it started"
"""


@pytest.mark.slow
def test_what_a_failed_test_started_is_ended_and_told(tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(FAILS, encoding="utf-8")
    words = [
        sys.executable,
        "-m",
        "pytest",
        str(test),
        f"--basetemp={tmp_path / 'temp'}",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*words, "-c", os.devnull], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert "before it could end what it started" in done.stdout
    assert f"tests left processes running, which were ended: ['sleep 300 {tmp_path}" in done.stdout
    assert "sleep 1 " not in done.stdout, "which has ended by itself"
    assert not processes_of(tmp_path)


LOOKS = "import sys, tests.processes, pathlib; print(tests.processes.processes_of(pathlib.Path(sys.argv[1])))"


def test_a_folder_of_a_like_name_and_who_was_there_before_are_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as process:
        try:
            (found,) = processes_of(tmp_path)
            assert found.pid == process.pid
            assert processes_of(Path(str(tmp_path)[:-1])) == []
            words = [sys.executable, "-c", LOOKS, str(tmp_path)]
            assert subprocess.check_output(words, cwd=ROOT, text=True) == "[]\n"
        finally:
            process.kill()
