"""The steps of workflow `docs` in a clean clone: the site is built, and leads to its repository's files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.workflows import jobs
from tests.workflows.clone import clean_clone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (Path(sys.prefix) / "docs").exists(), reason="MkDocs is not installed: make docs"),
]


def test_a_clean_clone_has_its_site_built(tmp_path: Path) -> None:
    clone = clean_clone(tmp_path / "clone")
    context = {"github.server_url": "https://github.example", "github.repository": "owner/name"}
    assert jobs.run(jobs.job("docs", "build"), clone, context, {}, {}).well
    stacks = (clone / "site" / "stacks.html").read_text(encoding="utf-8")
    assert 'href="https://github.example/owner/name/' in stacks
