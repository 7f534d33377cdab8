"""Links of the project's files lead to pages of the site, and nothing is loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from documentation.links import Links
from documentation.offline import loaded_from_elsewhere

PAGES = {
    "README.md": "index.md",
    "docs/stacks.md": "stacks.md",
    "docs/page.png": "page.png",
    "docs/decisions": "decisions/index.md",
    "docs/decisions/0001-a.md": "decisions/0001-a.md",
}


@pytest.mark.parametrize(
    ("source", "written", "there"),
    [
        ("README.md", "[stacks](docs/stacks.md#x)", "[stacks](stacks.md#x)"),
        ("README.md", "![the page](docs/page.png)", "![the page](page.png)"),
        ("README.md", "[all](docs/decisions/)", "[all](decisions/index.md)"),
        ("docs/decisions/0001-a.md", "[top](../../README.md)", "[top](../index.md)"),
        ("docs/decisions/0001-a.md", "[s](../stacks.md)", "[s](../stacks.md)"),
        ("docs/stacks.md", "[params.yaml](../params.yaml)", "[params.yaml](https://host/r/blob/main/params.yaml)"),
        ("docs/stacks.md", "[`code`](https://other/x)", "[`code`](https://other/x)"),
        ("docs/stacks.md", "[here](#x)", "[here](#x)"),
        ("docs/stacks.md", "```\n[a](../params.yaml)\n```\n", "```\n[a](../params.yaml)\n```\n"),
    ],
)  # fmt: skip
def test_a_link_leads_to_a_page_or_to_the_repository(source: str, written: str, there: str) -> None:
    assert Links(PAGES, "https://host/r/blob/main/").rewrite(written, source) == there


def test_without_a_repository_a_file_is_named_only() -> None:
    assert Links(PAGES).rewrite("see [params.yaml](../params.yaml).", "docs/stacks.md") == "see params.yaml."


@pytest.mark.parametrize(
    ("html", "loads"),
    [
        ("<script src='https://a.example/x.js'></script>", "https://a.example/x.js"),
        ("<link rel=stylesheet href=//a.example/x.css>", "//a.example/x.css"),
        ("<style>@import 'https://a.example/f'</style>", "https://a.example/f"),
        ("<p style='background: url(https://a.example/f.png)'>", "https://a.example/f.png"),
        ("<a href='https://a.example'>a person follows it</a>", ""),
        ("<link rel=canonical href='https://a.example/'><img src='page.png'>", ""),
    ],
)
def test_what_a_page_loads_over_the_network_is_found(tmp_path: Path, html: str, loads: str) -> None:
    (tmp_path / "index.html").write_text(html)
    assert loaded_from_elsewhere(tmp_path) == ([f"index.html: {loads}"] if loads else [])
