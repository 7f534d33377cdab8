"""Progress on long work: a bar on a terminal, elsewhere a line every few seconds; silent on short work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

T = TypeVar("T")
QUIET_SECONDS = (
    2.0  # work shorter than this needs no progress, and a log wants no more lines than one in so long
)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing on standard error how far it has come."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from rich_track(items, description=description, total=total, console=console, transient=True)
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    shown = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - shown >= QUIET_SECONDS:
            print(f"{description}: {done}/{total or '?'}", file=sys.stderr, flush=True)
            shown = time.monotonic()
