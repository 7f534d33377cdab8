"""Who answers on the API's address is asked, and told in words."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from accidents.errors import AccidentsError
from commands import airflow, api, call, status
from commands.background import Background
from commands.project import NoHttpError, api_settings, open_own
from serving.api.http.project_identity import identity_of
from tests.no_http import no_http
from tests.processes import free_port


@contextmanager
def answering(code: int, content: object) -> Iterator[str]:
    """A server that answers this, whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


OTHERS = {
    "another project": (200, {"status": "live", "api": "0123456789abcdef"}, "the API of another project"),
    "an older API": (200, {"status": "live"}, "another program"),
    "a list": (200, [1], "another program"),
    "a page that is not there": (404, {}, "another program"),
}


@pytest.mark.parametrize("who", OTHERS)
def test_others_are_not_taken_for_ours(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, content, said = OTHERS[who]
    with answering(code, content) as url:
        port = urlsplit(url).port
        monkeypatch.setenv("ACCIDENTS_PORT", str(port))
        found = api.stranger_at(url)
        assert found is not None
        assert said in found
        assert f"At {url} {found} answers" in status._api()
        with pytest.raises(AccidentsError, match=f"On 127.0.0.1:{port} {said}"):
            api._require_free("127.0.0.1", int(port or 0))


def test_what_answers_no_http_is_told_of_by_each_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`http.client` raises then what is no OSError."""
    with no_http() as url:
        port = urlsplit(url).port
        monkeypatch.setenv("ACCIDENTS_PORT", str(port))
        monkeypatch.setattr(status, "API", Background(tmp_path, "api"))
        with pytest.raises(NoHttpError, match="answers no HTTP"):
            open_own(url, timeout=3)
        assert api.stranger_at(url) == "another program"
        assert f"At {url} another program answers" in status._api()
        assert airflow._answers(url)
        with pytest.raises(AccidentsError, match=f"The API at {url} does not answer: .*no HTTP"):
            call.ask(url, {})
        monkeypatch.setenv("ACCIDENTS_API", url)
        assert status._api().startswith(f"does not answer at {url}: ")


def test_ours_is_known_and_says_why_it_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"api": identity_of(api_settings()), "reasons": ["The disk is full.", "Free some space."]}
    with answering(200, content) as url:
        monkeypatch.setenv("ACCIDENTS_PORT", str(urlsplit(url).port))
        assert api.stranger_at(url) is None
        assert status._api() == f"ready at {url}"


@pytest.mark.parametrize(
    ("code", "content", "told"),
    [
        (200, {}, "ready at"),
        (503, {"reasons": ["No model."]}, "not ready at URL: No model."),
        (502, "an ingress's page", "not ready at URL: HTTP Error 502"),
    ],
)
def test_the_api_that_is_named_is_asked_wherever_it_is(
    code: int, content: object, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(code, content) as url:
        monkeypatch.setenv("ACCIDENTS_API", f"{url}/")
        assert status._api(on_this_machine=False).startswith(told.replace("URL", url))


def test_an_api_in_a_cluster_is_not_one_that_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACCIDENTS_API", raising=False)
    monkeypatch.setenv("ACCIDENTS_PORT", str(free_port()))
    monkeypatch.setattr(status, "API", Background(tmp_path, "api"))
    assert status._api() == "does not run: make serve"
    assert status._api(on_this_machine=False).startswith("not asked: say where the cluster's is")


@pytest.mark.parametrize(
    ("who", "told"), [("ours", "runs on, for it was started in a terminal"), ("", "did not run; at")]
)
def test_stop_tells_of_an_api_that_it_cannot_end(
    who: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(api, "API", Background(tmp_path, "api"))
    monkeypatch.setattr(api, "on_stack", lambda stack: None)
    monkeypatch.setattr("stacks.endpoints.find_endpoints", lambda: None)
    with answering(200, {"api": who and identity_of(api_settings())}) as url:
        monkeypatch.setenv("ACCIDENTS_PORT", str(urlsplit(url).port))
        api.stop_serving("local")
        assert told in " ".join(capsys.readouterr().out.split())
    api.stop_serving("local")
    assert "The API did not run." in capsys.readouterr().out


def test_another_log_is_another_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCIDENTS_DATABASE_URL", "postgresql://someone:secret@db.example/log")
    with_secret = identity_of(api_settings())
    monkeypatch.setenv("ACCIDENTS_DATABASE_URL", "postgresql://someone:other@db.example/log")
    assert identity_of(api_settings()) == with_secret
    monkeypatch.delenv("ACCIDENTS_DATABASE_URL")
    assert identity_of(api_settings()) != with_secret
