"""The metrics of the monitor: a file a model, whose samples say which, and what reaches the Pushgateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from accidents.predictions.history import new_loop
from accidents.predictions.store import VARIABLE, PredictionStore
from commands import push as module
from tests import monitor_reports
from tests.no_http import no_http
from tests.observability import reports

NAMES = {"dispatch": "accident-severity-dispatch", "on_scene": "accident-severity-on-scene"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PredictionStore:
    address = f"sqlite:///{tmp_path}/predictions.db"
    monkeypatch.setenv(VARIABLE, address)
    monkeypatch.setattr(module, "FOLDER", tmp_path / "monitor")
    monkeypatch.setattr(module.champion_and_versions, "champion", lambda name: None)
    store = PredictionStore(address)
    store.create()
    return store


def test_a_look_at_one_model_leaves_what_was_told_of_the_other(
    store: PredictionStore, tmp_path: Path
) -> None:
    for stage, name in NAMES.items():
        store.history.add_run(reports.report(name=name, stage=stage), judged=True, loop_id=new_loop())
        module.push(name, stage)
    store.close()
    told = {path.name: path.read_text() for path in (tmp_path / "monitor").iterdir()}
    assert told.keys() == {f"metrics-{name}.prom" for name in NAMES.values()}
    for name in NAMES.values():
        lines = [line for line in told[f"metrics-{name}.prom"].splitlines() if not line.startswith("#")]
        assert lines
        assert all(f'model="{name}"' in line for line in lines)


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
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = NAMES["dispatch"]
    monkeypatch.setattr(module, "_champion_now", lambda report, name: (report.measurements.champion, None))
    with gateway() as (at, held):
        monkeypatch.setenv("ACCIDENTS_PUSHGATEWAY", at)
        for now in (
            monitor_reports.measurements(),
            monitor_reports.measurements(performance=None, champion={"version": "4"}),
        ):
            store.history.add_run(monitor_reports.report(now), judged=True, loop_id=new_loop())
            module.push(name, "dispatch")
    store.close()
    assert list(held) == [f"/metrics/job/accidents_monitor/model/{name}"]
    (text,) = held.values()
    assert 'version="4"' in text
    assert 'version="3"' not in text
    assert "accidents_monitor_performance" not in text


def test_a_gateway_that_answers_no_http_is_told_of_and_no_more(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loop pushes at its end: what it raised there would hide what went wrong before."""
    monkeypatch.setattr(module, "ROOT", module.FOLDER.parent)
    store.history.add_run(reports.report(), judged=True, loop_id=new_loop())
    with no_http() as at:
        monkeypatch.setenv("ACCIDENTS_PUSHGATEWAY", at)
        module.push(NAMES["dispatch"], "dispatch")
    assert f"The Pushgateway {at}" in " ".join(capsys.readouterr().out.split())
