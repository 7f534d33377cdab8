"""The built site in a headless Chromium, opened as files: each page is well, and the search finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from documentation.browser import CHROMIUM, Page, browser, new_page
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


# The width is told, as a phone's innerWidth grows with what does not fit.
LOOK = """((width) => ({
    titles: document.querySelectorAll('h1').length,
    wide: document.documentElement.scrollWidth - width,
    cut: [...document.querySelectorAll('.md-content *')].filter((each) => {
        const box = each.getBoundingClientRect();
        return box.width && box.right > width + 1
            && !each.closest('pre, .md-typeset__scrollwrap, .headerlink');  // scrolls by itself, or is hidden
    }).slice(0, 3).map((each) => each.outerHTML.slice(0, 100)),
    lost: [...document.images].filter((each) => !each.naturalWidth).map((each) => each.src),
}))"""
WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.mark.timeout(600)  # half a second a page; many times that on a machine that others use
def test_every_page_is_well_on_a_desktop_and_on_a_phone(tmp_path: Path) -> None:
    """Nothing in the console, nothing beyond the screen's edge, one title, every picture there."""
    pages = [page for page in sorted(INDEX.parent.rglob("*.html")) if page.name != "404.html"]  # a server's
    assert len(pages) > 60
    faults: dict[str, list[str]] = {}
    with browser(tmp_path / "profile") as devtools, new_page(devtools) as tab:
        for page in pages:
            tab.complaints.clear()
            at(tab, WIDTHS["desktop"])
            tab.call("Page.navigate", url=page.as_uri())
            tab.until(
                f"location.href === {page.as_uri()!r} && document.readyState === 'complete'", seconds=60
            )
            told = []
            for name, width in WIDTHS.items():
                at(tab, width)
                told += [f"{name}: {fault}" for fault in faults_of(tab, width)]
            if told := [*tab.complaints, *told]:
                faults[page.relative_to(INDEX.parent).as_posix()] = told
    assert faults == {}


def at(tab: Page, width: int) -> None:
    """Give the screen a width in pixels."""
    tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=width < 600,
    )  # fmt: skip


def faults_of(tab: Page, width: int) -> list[str]:
    """What is wrong with the open page on a screen of a width."""
    seen = tab.run(f"{LOOK}({width})")
    told = [f"{seen['titles']} titles"] if seen["titles"] != 1 else []
    told += [f"{seen['wide']} pixels too wide"] if seen["wide"] > 0 else []
    return (
        told + [f"cut off: {each}" for each in seen["cut"]] + [f"not there: {each}" for each in seen["lost"]]
    )
