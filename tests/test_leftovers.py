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
    assert "tests left processes running, which were ended: ['sleep 300']" in done.stdout
    assert not processes_of(tmp_path)
