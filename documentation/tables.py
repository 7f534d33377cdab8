"""Markdown's tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; columns in which no row says anything are left out."""
    cells = [[_cell(text) for text in row] for row in rows]
    used = [at for at in range(len(head)) if any(row[at] for row in cells)]
    lines = [[head[at] for at in used], ["---"] * len(used), *([row[at] for at in used] for row in cells)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def code(text: object) -> str:
    """Return a text as code, or nothing of nothing."""
    return f"`{text}`" if str(text) else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
