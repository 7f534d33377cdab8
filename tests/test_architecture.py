"""The architecture page says what the imports say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "architecture.png"


def check(page: Path, picture: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ".ci/architecture.py", "--check", "--page", page, "--picture", picture],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_page_and_picture_are_current() -> None:
    done = check(PAGE, PICTURE)
    assert done.returncode == 0, done.stderr


def test_what_is_not_current_is_named(tmp_path: Path) -> None:
    """A picture without its table stands for one of other imports, and so does a page with another arrow."""
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text().replace("| `steps` | ", "| `steps` | not "))
    done = check(page, ROOT / "docs" / "page.png")
    assert done.returncode == 1
    assert "Stale: page.md, page.png." in done.stderr
