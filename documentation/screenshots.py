"""`make pictures`: the pictures of pages in docs/, of what `make demo` leaves running and written."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from documentation.browser import CHROMIUM, Page, browser, new_page

ROOT = Path(__file__).resolve().parent.parent
API = "http://127.0.0.1:8000/"
_ANSWERED = "document.getElementById('result').dataset.state === 'ready'"
_SHOWN = "document.readyState === 'complete' && document.body.innerText.length > 200"


class Picture(NamedTuple):
    """What is shown where: a page at a width in pixels, after what somebody does on it."""

    name: str
    width: int
    take: Callable[[Page, int], None]


def control_room(page: Page, width: int) -> None:
    """Show the API's page with an accident in the Côte-d'Or, answered."""
    page.open(API, width=width)
    page.click("path[data-code='21']")
    page.until(_ANSWERED)


def report(name: str) -> Callable[[Page, int], None]:
    """Show a page that a run has written."""

    def take(page: Page, width: int) -> None:
        path = ROOT / name
        if not path.exists():
            raise FileNotFoundError(f"{name} is not there. Make it first: make demo.")
        page.open(path.as_uri(), width=width, built=_SHOWN)

    return take


PICTURES = (
    Picture("page.png", 1280, control_room),
    Picture("page_phone.png", 390, control_room),
    Picture("reports.png", 1280, report("reports/index.html")),
)


def main() -> int:
    """Take them all into docs/; 1 where something for it is missing, told plainly."""
    if CHROMIUM is None:
        print("No Chromium here. Debian, Ubuntu: apt install chromium.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as devtools:
        for picture in PICTURES:
            with new_page(devtools) as page:
                try:
                    picture.take(page, picture.width)
                except (AssertionError, OSError) as error:
                    print(f"{picture.name}: {error} Does `make demo` run?", file=sys.stderr)
                    return 1
                page.picture(ROOT / "docs" / picture.name)
            print(f"docs/{picture.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
