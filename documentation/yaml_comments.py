"""What the comments of a YAML file say of its keys."""

from __future__ import annotations

import re

_LINE = re.compile(r"^( *)([\w-]+):(?:\s+(.*?))?(?:\s+#\s*(.*))?$")


def comments(text: str) -> dict[str, str]:
    """Return what stands behind each key, on its line, by dotted path; only keys that have a comment."""
    meanings: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        indent, key = len(match[1]), match[2]
        above = [(at, name) for at, name in above if at < indent]
        above.append((indent, key))
        if match[4]:
            meanings[".".join(name for _, name in above)] = match[4]
    return meanings
