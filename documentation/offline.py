"""Whether a built site would load anything from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_LOADS = {"link": "href", "use": "href"}  # beside src, srcset and poster of every tag
_RELATIONS = {"canonical", "next", "prev", "alternate", "edit"}  # of <link>, which nothing is loaded for
_CSS = re.compile(r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)|@import\s+['\"]((?:https?:)?//[^'\"]+)")


def loaded_from_elsewhere(site: Path) -> list[str]:
    """Return what pages and styles would load over the network, as `page: address`, each address once."""
    addresses: dict[str, str] = {}
    for page in sorted(site.rglob("*.html")):
        for address in _of_page(page.read_text(encoding="utf-8")):
            addresses.setdefault(address, page.relative_to(site).as_posix())
    for style in sorted(site.rglob("*.css")):
        for match in _CSS.finditer(style.read_text(encoding="utf-8")):
            addresses.setdefault(match[1] or match[2], style.relative_to(site).as_posix())
    return [f"{page}: {address}" for address, page in addresses.items()]


def _of_page(html: str) -> Iterator[str]:
    reader = _Reader()
    reader.feed(html)
    yield from (address for address in reader.loaded if re.match(r"\s*(https?:)?//", address))
    yield from (match[1] or match[2] for match in _CSS.finditer("".join(reader.styles)))


class _Reader(HTMLParser):
    """Collects what the tags of a page load."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.styles: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of one tag."""
        values = {name: value or "" for name, value in attrs}
        self._style = tag == "style"
        self.styles.append(values.get("style", ""))
        self.loaded += [values[name] for name in ("src", "srcset", "poster") if name in values]
        if tag in _LOADS and not _RELATIONS & set(values.get("rel", "").split()):
            self.loaded.append(values.get(_LOADS[tag], ""))

    def handle_data(self, data: str) -> None:
        """Note what a style sheet in the page says."""
        if self._style:
            self.styles.append(data)
            self._style = False
