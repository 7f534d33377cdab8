"""The built site in a headless Chromium, opened as files: the search finds what somebody looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from documentation.browser import CHROMIUM, browser, new_page
from tests.conftest import ROOT

INDEX = ROOT / "site" / "index.html"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; CI installs it (.ci/system-packages)"),
    pytest.mark.skipif(not INDEX.exists(), reason="no site here: make docs"),
]
RESULTS = "document.querySelectorAll('.md-search-result__item a')"


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("recalibrate", "monitoring"),
        ("canary", "rollout"),
        ("monitor.per_caller", "reference"),
        ("bogue", ""),
    ],
)
def test_the_search_finds_the_page(tmp_path: Path, words: str, page: str) -> None:
    with browser(tmp_path / "profile") as devtools, new_page(devtools) as tab:
        tab.open(INDEX.as_uri(), built="document.querySelector('.md-search__input')")
        tab.until("document.readyState === 'complete'")
        tab.run("document.querySelector('.md-search__input').focus()")
        tab.call("Input.insertText", text=words)
        tab.press("ArrowRight")  # the page looks at what is typed when a key goes up
        tab.until(
            "/result|match/.test(document.querySelector('.md-search-result__meta').innerText)"
            " && !/Initializing|Type to/.test(document.querySelector('.md-search-result__meta').innerText)",
            seconds=60,
        )
        found = tab.run(f"[...{RESULTS}].map((each) => each.href)")
        assert any(page in address for address in found) if page else found == []
