"""`make matrix` ends with the table of its stacks, also where other processes ran the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.servers.conftest import MATRIX_HEAD

TESTS = """
import pytest

@pytest.mark.parametrize("stack", ["local", "bare"])
def test_it(stack):
    print(f"| `{stack}` | 89 s | none | 30 s | 18 s |")
    print("| what | else |")
    assert stack == "bare"

def test_it_again():
    print("| `bare` | 89 s | none | 30 s | 18 s |")
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_the_rows_that_tests_print_are_shown_at_the_end(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_rows.py").write_text(TESTS, encoding="utf-8")
    words = [sys.executable, "-m", "pytest", "-q", "-n", processes, "-p", "tests.servers.conftest",
             "-p", "no:cacheprovider", f"--rootdir={tmp_path}", "-c", "/dev/null", tmp_path]  # fmt: skip
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    rows = [f"| `{stack}` | 89 s | none | 30 s | 18 s |" for stack in ("bare", "local")]
    assert "\n".join([MATRIX_HEAD, *rows, ""]) in done.stdout, done.stdout + done.stderr
