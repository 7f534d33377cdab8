"""`make smoke` says in words what an API that was rolled out lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.conftest import ROOT

HEALTH, OPENAPI = "/health/ready", "/openapi.json"
READY = (200, {"model": {"version": "1"}})
DOCUMENT = (200, {"info": {"version": "1.0"}})
ANSWER = (200, {"probability": 0.3, "band": "moderate"})
Answers = Mapping[str, tuple[int, object]]


@contextmanager
def api(answers: Answers) -> Iterator[str]:
    """What answers so, and 401 to a prediction without a key."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = answers[self.path]
            if self.command == "POST" and "X-API-Key" not in self.headers:
                status = 401
            self.send_response(status)
            self.end_headers()
            self.wfile.write((content if isinstance(content, str) else json.dumps(content)).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def smoke(answers: Answers, *version: str) -> subprocess.CompletedProcess[str]:
    with api(answers) as url:
        return subprocess.run(
            [sys.executable, ROOT / ".ci" / "smoke.py", url, *version],
            capture_output=True, text=True, check=False,
            env={**os.environ, "ACCIDENTS_API_KEY": "a key", "SMOKE_SECONDS": "2", "NO_PROXY": "*"},
        )  # fmt: skip


@pytest.mark.parametrize("named", [(), ("1.0",)])
def test_one_that_is_well_passes(named: tuple[str, ...]) -> None:
    done = smoke({HEALTH: READY, OPENAPI: DOCUMENT, "/predict": ANSWER}, *named)
    assert done.returncode == 0, done.stderr
    assert "refuses who has no key" in done.stdout


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (
            {HEALTH: (200, "<html>a proxy</html>")},
            "is not ready after 2 s: 200: no answer of our API",
        ),
        ({HEALTH: (503, {"reasons": ["No model."]})}, "is not ready after 2 s: 503: No model."),
        (
            {HEALTH: READY, OPENAPI: (401, {})},
            "answers 401: ACCIDENTS_API_KEY must hold a key",
        ),
        ({HEALTH: READY, OPENAPI: (404, {})}, "answers 404: `docs: key`"),
        ({HEALTH: READY, OPENAPI: (200, "<html>")}, "answers 200: is it the address"),
        ({HEALTH: READY, OPENAPI: DOCUMENT}, "is version 1.0, not 2.0"),
    ],
    ids=["html", "not ready", "wrong key", "closed", "html document", "other version"],
)
def test_what_is_wrong_is_told_without_a_trace(answers: Answers, said: str) -> None:
    done = smoke(answers, "2.0")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: "), done.stderr
    assert said in done.stderr
