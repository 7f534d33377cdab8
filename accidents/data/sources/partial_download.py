"""The part of a file that has come so far, and what the server said of it.

`NAME.part` holds the bytes as they went over the wire, `NAME.part.json` which version they are of. With both,
a later attempt, or a later run, can ask for the rest.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx


@dataclass(frozen=True)
class Version:
    """What the server calls one version of a file."""

    address: str  # after redirects
    etag: str | None = None
    last_modified: str | None = None
    encoding: str | None = None  # of the bytes on the wire: gzip or None
    size: int | None = None  # bytes on the wire, None if not told

    @property
    def validator(self) -> str | None:
        """What `If-Range` may name: a weak ETag does not promise the same bytes."""
        strong = self.etag is not None and not self.etag.startswith("W/")
        return self.etag if strong else self.last_modified

    def conditions(self) -> dict[str, str]:
        """Headers that ask for the file only if it is another version than this."""
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {header: value for header, value in named.items() if value}


def version_of(response: httpx.Response) -> Version:
    """Read what an answer calls its body."""
    headers = response.headers
    length = headers.get("Content-Length", "")
    encoding = headers.get("Content-Encoding", "identity").lower()
    return Version(
        address=str(response.url),
        etag=headers.get("ETag"),
        last_modified=headers.get("Last-Modified"),
        encoding=None if encoding == "identity" else encoding.replace("x-gzip", "gzip"),
        size=int(length) if length.isdigit() else None,
    )


class PartFile:
    """The bytes had so far of one version."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes that have come so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self) -> Version | None:
        """Return what the bytes are of; None if there are none that could be continued."""
        try:
            version = Version(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return version if self.size and version.validator else None

    def begin(self, version: Version) -> None:
        """Start with no bytes of `version`. The old bytes go before the note does: never a wrong pair."""
        self.path.write_bytes(b"")
        self._note.write_text(json.dumps(asdict(version)), encoding="utf-8")

    def discard(self) -> None:
        """Remove the bytes and the note of what they are of."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
