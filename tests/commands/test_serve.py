"""`run.py serve` and `keys to-database` on a database that nobody has begun."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accidents.errors import AccidentsError
from accidents.predictions.store import PredictionStore
from commands import api
from commands.background import Background
from commands.keys import to_database
from serving.api.operations.keys import Keys
from stacks import endpoints, locked_environments
from stacks.endpoints import EndpointState, State
from tests.processes import free_port

HOOK = "ACCIDENTS_HOOK_COMMAND"


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of no database yet, which is to hold the keys."""
    address = f"sqlite:///{tmp_path}/predictions.db"
    monkeypatch.setenv("ACCIDENTS_DATABASE_URL", address)
    monkeypatch.setenv("ACCIDENTS_KEYS_IN", "database")
    monkeypatch.setenv("ACCIDENTS_KEYS_FILE", f"{tmp_path}/keys.json")
    monkeypatch.setenv("ACCIDENTS_HOOK_KEYS_FILE", f"{tmp_path}/hook-keys.json")
    return address


def test_serve_starts_the_api_which_makes_the_tables(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[tuple[list[str], str]] = []
    monkeypatch.setenv("ACCIDENTS_PORT", str(free_port()))
    monkeypatch.setattr(api, "API", Background(tmp_path, "api"))
    monkeypatch.setattr(api, "_deployed", lambda *_: ("a-model", "http://127.0.0.1:8085"))
    monkeypatch.setattr(locked_environments, "environment", lambda *_: tmp_path / "python")
    monkeypatch.setattr(os, "execve", lambda _, words, told: started.append((words, told[HOOK])))
    monkeypatch.setattr(api, "_wait", lambda url: None)
    monkeypatch.setattr(Background, "start", lambda *_: None)
    params: Any = SimpleNamespace(stage="dispatch")
    api.serve_api(params, "local", detach=False, params_file=tmp_path / "mine.yaml")
    ((words, loop),) = started
    assert words[1:] == ["-m", "serving.api"]
    assert f'"--params", "{tmp_path}/mine.yaml"' in loop
    assert "X-API-Key" not in capsys.readouterr().out


def test_the_api_and_so_its_loop_has_what_leads_to_the_shared_store(monkeypatch: pytest.MonkeyPatch) -> None:
    handed_on = {
        "ZENML_CONFIG_PATH": "/srv/store",
        "ZENML_STORE_URL": "https://zenml.example.org",
        "ZENML_STORE_API_KEY": "a-key",
        "MLFLOW_SERVER": "https://mlflow.example.org",
        "MLFLOW_PASSWORD": "a-password",
    }
    own = ("ZENML_LOGGING_VERBOSITY", "ZENML_REPOSITORY_PATH", "MLFLOW_TRACKING_URI", "ACCIDENTS_API_KEY")
    for name in (*handed_on, *own):
        monkeypatch.setenv(name, handed_on.get(name, "of the command alone"))
    environment = api._environment()
    assert environment.items() >= handed_on.items()
    assert not environment.keys() & set(own)


def test_keys_are_taken_over_into_a_database_that_this_begins(address: str, tmp_path: Path) -> None:
    Keys(tmp_path / "keys.json").new("lyon")
    to_database()
    with closing(PredictionStore(address)) as store:
        assert [key.name for key in store.keys(hook=False).read()[0]] == ["lyon"]


@pytest.mark.parametrize(
    ("on_this_machine", "told"),
    [(False, "Have the API run in the cluster .*or set `address`"), (True, "Use a stack with an mlserver")],
    ids=["a cluster", "another protocol"],
)
def test_why_no_api_runs_here_in_front_of_a_model_is_told(
    on_this_machine: bool, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = EndpointState(State.healthy, "http://a-model.accidents.svc:8085")
    endpoint = SimpleNamespace(state=lambda: healthy, v2_address=lambda: None)
    served = SimpleNamespace(on_this_machine=on_this_machine, flavor="any", endpoint=lambda _: endpoint)
    monkeypatch.setattr(api, "on_stack", lambda _: None)
    monkeypatch.setattr(endpoints, "active_endpoints", lambda: served)
    with pytest.raises(AccidentsError, match=told):
        api._deployed(SimpleNamespace(stage="dispatch"), "a-stack")  # type: ignore[arg-type]
