"""Which word was meant: the one place that says how near a typo must be for "did you mean"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_ALIKE = 0.42  # share of the letters: `cron` is still near to `cron_expression`


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """Return the valid word most like `word`, or None if none is near."""
    near = difflib.get_close_matches(word, list(valid), n=1, cutoff=_ALIKE)
    return near[0] if near else None
