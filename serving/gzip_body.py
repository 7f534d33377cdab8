"""Bodies that come packed (Content-Encoding: gzip), of which no more is unpacked than may come."""

from __future__ import annotations

import zlib
from http import HTTPStatus

from serving.http_limits import Refused

CODINGS = (b"gzip", b"x-gzip")


def unpacked(body: bytes, limit: int) -> bytes:
    """Return what was packed. Raises Refused if it is larger than `limit` bytes, or no whole gzip."""
    packed = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # gzip's own header and checksum
    try:
        content = packed.decompress(body, limit + 1)
    except zlib.error:
        content = b""
    if len(content) > limit:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {limit} bytes.")
    if not packed.eof or packed.unused_data:
        raise Refused(HTTPStatus.BAD_REQUEST, "The body is not whole gzip, as its Content-Encoding says.")
    return content
