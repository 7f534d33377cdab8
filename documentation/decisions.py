"""The list of the decisions."""

from __future__ import annotations

from pathlib import Path

_TOP = """# Decisions

Choices that somebody may want to question: what was chosen, why, and what it costs. A decision that is
changed is a new one.

"""


def decisions_page(folder: Path) -> str:
    """Return a page that lists all decisions of a folder, by their numbers."""
    pages = sorted(folder.glob("[0-9]*.md"))
    return _TOP + "\n".join(f"- [{_title(page)}]({page.name})" for page in pages) + "\n"


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").replace(". ", "\\. ", 1)
