"""What `status` prints can be read and copied in a terminal of 80 columns."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from accidents.predictions.store import PredictionStore
from accidents.rollout.traffic_split import CHALLENGER, CHAMPION
from commands import status
from commands.status import _loop, _models, _predictions, _supervision, _trials
from stacks.endpoints import Endpoint, EndpointState, ServedVersion, State

NAME = "accident-severity-dispatch"
WHO = "supervised by process 123456, which brought it back 2 times"


class Told:
    """What an endpoint says of itself."""

    def versions(self) -> tuple[ServedVersion, ...]:
        return (
            ServedVersion("12", "digest", CHAMPION, 80, State.healthy, NAME),
            ServedVersion("13", "digest", CHALLENGER, 20, State.healthy, NAME),
        )

    def state(self) -> EndpointState:
        return EndpointState(State.healthy, "http://127.0.0.1:8085", supervision=WHO)


def test_name_and_address_are_in_one_piece() -> None:
    deployed = {NAME: cast(Endpoint, Told())}
    paper = io.StringIO()
    Console(file=paper, width=80).print(_models("local", {NAME: "12"}, deployed))
    assert [NAME, "12", "12", "healthy", "127.0.0.1:8085"] in [
        line.split() for line in paper.getvalue().splitlines()
    ]
    assert _supervision(deployed) == {"Model server": WHO}
    assert _trials(deployed) == {
        "On trial": "version 13 (canary of 20 %); `promote 13` or `rollback` ends it"
    }


def test_what_the_loop_did_last_is_told_however_often_it_has_looked_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"sqlite:///{tmp_path}/predictions.db"
    monkeypatch.setenv("ACCIDENTS_DATABASE_URL", address)
    store = PredictionStore(address)
    store.create()
    assert _loop([NAME]) == "has retrained nothing yet"
    moment = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
    store.history.add_event("a loop", moment, NAME, "rollback", "ok", "13")
    for day in range(2, 23):
        look = moment.replace(day=day)
        store.history.add_event(f"loop {day}", look, NAME, "monitor", "ok", "12", action="keep")
    store.close()
    assert _loop([NAME]) == "rollback of version 13: ok (2026-11-01 06:00 UTC)"


def test_the_log_that_is_told_of_is_where_zenmls_secret_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_stack(stack: str) -> None:
        monkeypatch.setenv("ACCIDENTS_DATABASE_URL", f"sqlite:///{tmp_path}/secret.db")

    monkeypatch.delenv("ACCIDENTS_DATABASE_URL", raising=False)
    monkeypatch.setattr(status, "has_secret", lambda name: name == "accidents")
    monkeypatch.setattr(status, "on_stack", on_stack)
    monkeypatch.setattr(status, "endpoints_on", lambda _: None)
    monkeypatch.setattr(status, "_champions", lambda *_: {})
    monkeypatch.setattr(status, "_api", str)
    monkeypatch.setattr(status, "_drift", str)
    monkeypatch.setattr(status, "beside", lambda *_: {})
    status.show_status("local")
    assert str(tmp_path / "secret.db") in _predictions()
