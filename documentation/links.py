"""Links between files of the project, as links between pages of the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping

LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^)\s]+)\)")
FENCE = re.compile(r"^( *)(`{3,}|~{3,})[^\n]*\n.*?^\1\2`*[ ]*$", re.MULTILINE | re.DOTALL)


class Links:
    """Where a link of one page of the site leads.

    Parameters
    ----------
    pages : address in the site by path in the project, of what is in both.
    repository : web address that files of the project are below, without one they are named only.
    """

    def __init__(self, pages: Mapping[str, str], repository: str = "") -> None:
        self.pages, self.repository = pages, repository.rstrip("/")

    def rewrite(self, markdown: str, source: str) -> str:
        """Return a page's text with links as the site has them; `source`: its path in the project."""
        return outside_code(markdown, lambda text: LINK.sub(lambda match: self._link(match, source), text))

    def _link(self, match: re.Match[str], source: str) -> str:
        label, target = match[1], match[2]
        if "://" in target or target.startswith(("#", "mailto:")):
            return match[0]
        path, hash_, anchor = target.partition("#")
        leads = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if leads in self.pages:
            here = posixpath.dirname(self.pages.get(source, source.removeprefix("docs/")))
            return f"{label}({posixpath.relpath(self.pages[leads], here or '.')}{hash_}{anchor})"
        if self.repository:
            return f"{label}({self.repository}/{leads})"
        return label.removeprefix("!")[1:-1]


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Return a page's text with all of it changed but its blocks of code."""
    parts, at = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [change(markdown[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, change(markdown[at:])])
