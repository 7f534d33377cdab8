"""A stand-in for Google's server of tokens, and a key of a service account that leads there.

The emulator of Google Cloud Storage takes any token, or none: what is tried by this is how one is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

TOKEN = "token-of-the-stand-in"


@dataclass
class TokenServer:
    """What it was asked for, and a key that leads to it."""

    url: str
    key: str  # JSON
    private: str  # what is secret in it
    asked: list[str] = field(default_factory=list)  # kinds of grants


@contextmanager
def running_token_server() -> Iterator[TokenServer]:
    """One on loopback, with a fresh key."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    url = f"http://127.0.0.1:{httpd.server_port}/token"
    private = _private_key()
    server = TokenServer(url, _service_account(url, private), private.splitlines()[1])
    httpd.token_server = server  # type: ignore[attr-defined]
    thread = Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.token_server.asked += form["grant_type"]  # type: ignore[attr-defined]
        content = json.dumps({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _private_key() -> str:
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _service_account(url: str, private: str) -> str:
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "accidents",
            "private_key_id": "of-the-tests",
            "private_key": private,
            "client_email": "tests@accidents.iam.gserviceaccount.com",
            "client_id": "1",
            "auth_uri": url,
            "token_uri": url,
            "auth_provider_x509_cert_url": url,
            "client_x509_cert_url": url,
        }
    )
