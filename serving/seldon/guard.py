"""What stands before every route of Seldon's server on a laptop: who may ask, and how much.

Seldon's server lets pages of any origin read its answers (CORS) and sets no bound to a body. Here requests
from pages of other origins, or for another host (DNS rebinding), are refused, as our MLServer's guard does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

LOOPBACK = ("127.0.0.1", "localhost")
MAX_BODY = 16 * 1024 * 1024  # bytes; 10,000 rows are a third of it
_OWN_SITES = ("", "same-origin", "none")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Guard:
    """Lets requests of programs on this machine through to `app` (WSGI)."""

    def __init__(self, app: Callable[[Environ, StartResponse], Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI."""
        refused = _fault(environ)
        if refused is None:
            return self._app(environ, start_response)
        status, message = refused
        body = json.dumps({"status": {"status": 1, "info": message, "code": -1, "reason": status.name}})
        headers = [("Content-Type", "application/json"), ("Connection", "close")]
        start_response(f"{status.value} {status.phrase}", headers)
        return [body.encode()]


def _fault(environ: Environ) -> tuple[HTTPStatus, str] | None:
    """Return why a request is not let through."""
    host = environ.get("HTTP_HOST", "").lower()
    if host.partition(":")[0] not in LOOPBACK:
        return HTTPStatus.FORBIDDEN, "This is not the host that was asked for."
    if environ.get("HTTP_ORIGIN", f"http://{host}").lower() != f"http://{host}":
        return HTTPStatus.FORBIDDEN, "Pages of other origins may not ask this server."
    if environ.get("HTTP_SEC_FETCH_SITE", "") not in _OWN_SITES:
        return HTTPStatus.FORBIDDEN, "Pages of other sites may not ask this server."
    if "HTTP_TRANSFER_ENCODING" in environ:
        return HTTPStatus.LENGTH_REQUIRED, "Say how long the body is: Content-Length."
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > MAX_BODY:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {MAX_BODY} bytes."
    return None
