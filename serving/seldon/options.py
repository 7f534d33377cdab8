"""What may be said to `python -m serving.seldon`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

_DIGEST = re.compile("[0-9a-f]{64}")


def read_options(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; ends the program with status 2 and a line where they are not understood."""
    parser = argparse.ArgumentParser(prog="python -m serving.seldon")
    parser.add_argument("bundle", help="folder of the bundle")
    parser.add_argument("--digest", type=_digest, required=True, help="that it must have: 64 hex digits")
    parser.add_argument("--name", default="")
    parser.add_argument("--version", default="")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--grace", type=int, default=30, help="seconds to answer what is on its way")
    return parser.parse_args(words)


def _digest(text: str) -> str:
    """Return a digest. Raises ArgumentTypeError for what is none, such as nothing: any bundle would do."""
    if not _DIGEST.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the digest that the registry holds of a bundle")
    return text
