"""What a run adds to the page of all reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import reports_index
from pipelines.code import code_commit


def test_the_commit_is_the_runs_own_and_not_this_clones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps may run in an image that was made of an earlier commit of the same code."""
    monkeypatch.setattr(reports_index, "REPORTS", tmp_path)
    (tmp_path / "replay").mkdir()
    (tmp_path / "replay" / "report.html").write_text("")
    reports_index.renew_index(tmp_path / "replay", "docker", "0123abcd")
    page = (tmp_path / "index.html").read_text()
    assert "0123abcd" in page
    assert code_commit() not in page
