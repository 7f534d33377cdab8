"""The route that predictions take through the model server, ahead of MLServer's own: same answers, less work.

MLServer hands a request to FastAPI, which checks it, asks MLServer's data plane, and turns the answer into
text by way of a dictionary, a second check and another dictionary; middleware looks the route up once more to
count it. Here the data plane is asked directly. Whatever is no plain request goes on to MLServer untouched.
"""

from __future__ import annotations

import re
import time

import orjson
from mlserver.errors import MLServerError
from mlserver.handlers import DataPlane
from mlserver.types import InferenceRequest
from mlserver.utils import extract_headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette_exporter import PrometheusMiddleware

from serving.http_limits import Refused
from serving.runtime.v2_requests import parsed

_PATH = re.compile(r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer")
_COUNTED_AS = ("POST", "/v2/models/{model_name}/infer")
_APP = "mlserver"  # what MLServer calls itself in its metrics
_JSON = b"application/json"


class InferRoute:
    """Answers POST /v2/models/NAME/infer, and leaves everything else to `app`.

    Parameters
    ----------
    data_plane : of the server; it finds the model, counts, and asks it.
    prefix : of the server's metrics of requests; None: they are not counted.
    """

    def __init__(self, app: ASGIApp, data_plane: DataPlane, prefix: str | None) -> None:
        self._app, self._data_plane = app, data_plane
        self._counted = prefix and PrometheusMiddleware(app, app_name=_APP, prefix=prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        match = _PATH.fullmatch(scope["path"]) if _is_plain_post(scope) else None
        if match is None:
            await self._app(scope, receive, send)
            return
        given = b"".join(message.get("body", b"") for message in await _messages(receive))
        begun = time.perf_counter()
        if self._counted:
            self._counted.requests_in_progress.labels("POST", _APP).inc()
        status = 500
        try:
            status, headers, body = await self._answer(given, match["name"], match["version"])
        finally:
            self._count(status, time.perf_counter() - begun)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, given: bytes, name: str, version: str | None
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        status: int = 200
        more: dict[str, str] = {}
        try:
            response = await self._data_plane.infer(parsed(InferenceRequest, given), name, version)
            more = extract_headers(response) or {}
            body = response.model_dump_json(exclude_unset=True, exclude_none=True).encode()
        except Refused as refused:
            status, body = refused.status.value, orjson.dumps({"error": refused.message})
        except MLServerError as error:
            status, body = error.status_code, orjson.dumps({"error": str(error)})
        headers = [(b"content-type", _JSON), (b"content-length", str(len(body)).encode())]
        headers += [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in more.items()]
        return status, headers, body

    def _count(self, status: int, seconds: float) -> None:
        if self._counted:
            self._counted.requests_in_progress.labels("POST", _APP).dec()
            self._counted.request_count.labels(*_COUNTED_AS, status, _APP).inc()
            self._counted.request_time.labels(*_COUNTED_AS, status, _APP).observe(seconds)


def _is_plain_post(scope: Scope) -> bool:
    """Whether it is a POST of JSON, and not packed."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return kind == _JSON and b"content-encoding" not in headers


async def _messages(receive: Receive) -> list[Message]:
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages
