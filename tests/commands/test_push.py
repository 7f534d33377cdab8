"""What reaches the Pushgateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from accidents.predictions.store import PredictionStore
from commands import push as module
from tests.monitor_reports import measurements, report

NAME = "accident-severity-dispatch"


@contextmanager
def gateway() -> Iterator[tuple[str, dict[str, str]]]:
    """Its address, and what it holds by group: PUT puts in place of a group, as a Pushgateway does."""
    held: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            held[self.path] = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", held
        server.shutdown()
        thread.join()


def test_figures_of_a_look_before_are_not_left_beside_those_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"sqlite:///{tmp_path}/predictions.db"
    store = PredictionStore(address)
    store.create()
    monkeypatch.setenv("ACCIDENTS_DATABASE_URL", address)
    monkeypatch.setattr(module, "FILE", tmp_path / "metrics.prom")
    monkeypatch.setattr(module, "_champion_now", lambda report, name: (report.measurements.champion, None))
    with gateway() as (at, held):
        monkeypatch.setenv("ACCIDENTS_PUSHGATEWAY", at)
        for now in (measurements(), measurements(performance=None, champion={"version": "4"})):
            store.history.add_run(report(now), judged=True, loop_id="a loop")
            module.push(NAME, "dispatch")
    store.close()
    assert list(held) == [f"/metrics/job/accidents_monitor/model/{NAME}"]
    (text,) = held.values()
    assert 'accidents_champion_info{version="4"}' in text
    assert "accidents_monitor_performance" not in text
