"""Evidently's page with our verdict on top, at a third of its size.

Evidently's JavaScript is 3.5 MB of every page it makes. The page travels compressed, the browser unpacks it:
one file still, which needs no network. Nothing is left out; rows were never in it, only distributions.
What we say on top is plain HTML: ZenML's dashboard shows pages without running their scripts.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from html import escape

_SHELL = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>%(title)s</title></head>
<body>%(notes)s%(charts)s</body></html>
"""

_CHARTS = """<noscript><p>Evidently's charts need JavaScript, which ZenML's dashboard does not allow here.
Open the page by itself.</p></noscript>
<script>
(async () => {
  const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const page = await new Response(stream).text();
  document.open();
  document.write(page);
  document.close();
})();
</script>
"""

_NOTES = """<section style="font: 15px/1.45 system-ui, sans-serif; max-width: 72em; margin: 1.5em auto">
<h1 style="font-size: 1.4em">%(title)s</h1>
%(paragraphs)s
<table>
%(table)s
</table></section>
"""


def render(
    evidently_html: str,
    title: str,
    paragraphs: Sequence[str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> str:
    """Return a page of `title`, `paragraphs` and a table, all without JavaScript, and Evidently's, if any."""
    notes = _NOTES % {
        "title": escape(title),
        "paragraphs": "\n".join(f"<p>{escape(text)}</p>" for text in paragraphs),
        "table": "\n".join([_row(header, "th"), *(_row(row, "td") for row in rows)]),
    }
    head, body, rest = evidently_html.partition("<body>")
    page = f"{head}{body}{notes}{rest}"
    packed = base64.b64encode(gzip.compress(page.encode(), mtime=0)).decode()
    charts = _CHARTS % packed if evidently_html else ""
    return _SHELL % {"title": escape(title), "notes": notes, "charts": charts}


def _row(cells: Sequence[str], tag: str) -> str:
    style = "text-align: left; padding: 0 1.5em 0 0"
    return "<tr>" + "".join(f'<{tag} style="{style}">{escape(cell)}</{tag}>' for cell in cells) + "</tr>"
