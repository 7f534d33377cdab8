"""A fake of the part of GitHub's REST API that comments on pull requests are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-the-fake"
REPOSITORY = "owner/road-accidents"


@dataclass
class FakeGitHub:
    """Its address, and the comments of its pull request 12, in the order of their making."""

    url: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    read_only: bool = False


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """One on loopback."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    fake = FakeGitHub(f"http://127.0.0.1:{httpd.server_port}")
    httpd.fake = fake  # type: ignore[attr-defined]
    thread = Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if (fake := self._fake(asked.path)) is None:
            return
        query = parse_qs(asked.query)
        size, page = int(query.get("per_page", ["30"])[0]), int(query.get("page", ["1"])[0])
        shown = fake.comments[size * (page - 1) : size * page]
        more = len(fake.comments) > size * page
        link = f'<{fake.url}{asked.path}?per_page={size}&page={page + 1}>; rel="next"' if more else ""
        self._answer(200, shown, {"Link": link} if link else {})

    def do_POST(self) -> None:
        if (fake := self._fake(self.path)) is not None:
            comment = {"id": len(fake.comments) + 1, **self._body()}
            fake.comments.append(comment)
            self._answer(201, self._told(fake, comment))

    def do_PATCH(self) -> None:
        if (fake := self._fake(self.path)) is not None:
            comment = fake.comments[int(self.path.rpartition("/")[2]) - 1]
            comment.update(self._body())
            self._answer(200, self._told(fake, comment))

    def _fake(self, path: str) -> FakeGitHub | None:
        """Return the fake if it takes this request; otherwise it has been answered."""
        fake: FakeGitHub = self.server.fake  # type: ignore[attr-defined]
        fake.asked.append(f"{self.command} {self.path}")
        refused = 0
        if not re.fullmatch(rf"/repos/{REPOSITORY}/issues/(12/comments|comments/\d+)", path):
            refused = 404
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            refused = 401
        elif fake.read_only and self.command != "GET":
            refused = 403
        if refused:
            self._body()
            self._answer(refused, {"message": "no"})
            return None
        return fake

    def _told(self, fake: FakeGitHub, comment: dict[str, Any]) -> dict[str, Any]:
        return {**comment, "html_url": f"{fake.url}/{REPOSITORY}/pull/12#issuecomment-{comment['id']}"}

    def _body(self) -> dict[str, Any]:
        return dict(json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}"))

    def _answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
