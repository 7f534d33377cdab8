"""What `status` prints can be read and copied in a terminal of 80 columns."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from accidents.predictions.store import VARIABLE, PredictionStore
from accidents.rollout.traffic_split import CHALLENGER, CHAMPION
from commands import prediction_store, status
from commands.status import _loop, _models, _supervision, _trials
from serving.api.settings import ApiSettings
from stacks.endpoints import Endpoint, EndpointState, ServedVersion, State
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

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
    assert _loop("local", [NAME]) == "has retrained nothing yet"
    moment = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
    store.history.add_event("a loop", moment, NAME, "rollback", "ok", "13")
    for day in range(2, 23):
        look = moment.replace(day=day)
        store.history.add_event(f"loop {day}", look, NAME, "monitor", "ok", "12", action="keep")
    store.close()
    assert _loop("local", [NAME]) == "rollback of version 13: ok (2026-11-01 06:00 UTC)"


@pytest.fixture
def log_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only configs/api.yaml says where predictions are logged; no API is asked, and nothing serves."""
    monkeypatch.setenv(VARIABLE, "")  # as it was before, afterwards
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("ZENML_CUSTOM_SOURCE_ROOT", str(tmp_path))  # where no `.env` is
    for variable in ("MLFLOW_PASSWORD", "PREDICTIONS_DATABASE_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)
    settings = ApiSettings(database_url=f"sqlite:///{tmp_path}/settings.db")
    monkeypatch.setattr(prediction_store, "api_settings", lambda: settings)
    monkeypatch.setattr(status, "_api", str)


@pytest.mark.usefixtures("zenml_store", "log_of_settings")
@pytest.mark.parametrize(
    ("stack", "told"),
    [
        ("staging", "cannot be counted: Stack staging, unless ACCIDENTS_DATABASE_URL says where"),
        ("docker", "none: There is no prediction log"),
    ],
)
def test_without_a_stacks_passwords_all_is_told_that_needs_none(
    stack: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status.show_status(stack)
    said = capsys.readouterr().out
    assert f"Stack {stack}" in said
    assert told in said
    assert "no batch checked yet" in said


@pytest.mark.usefixtures("zenml_store", "log_of_settings")
def test_the_log_that_is_told_of_is_where_zenmls_secret_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zenml.client import Client

    Client().create_secret("accidents", {"database_url": f"sqlite:///{tmp_path}/secret.db"})
    for stack in ("local", "docker"):
        status.show_status(stack)
        assert str(tmp_path / "secret.db") in capsys.readouterr().out
        monkeypatch.delenv(VARIABLE)  # where it was found
