"""Whose loop an alert starts: that of the model that it names, and of two models one after the other."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accidents.errors import SettingsError
from accidents.predictions.store import PredictionStore
from commands.api import hook_variables
from serving.api.operations.hooks import Hook, Notification
from serving.api.settings import load_settings

LOOP = (
    "import sys, time; print(sys.argv[1], 'begins', flush=True); time.sleep(0.2); print(sys.argv[1], 'ends')"
)
ON_SCENE = "accident-severity-on-scene"


def alert(model: str | None, name: str = "RetrainingDue") -> dict[str, Any]:
    labels = {"alertname": name, "loop": "start"} | ({} if model is None else {"model": model})
    return {"status": "firing", "labels": labels}


def told(*alerts: dict[str, Any]) -> Notification:
    body = {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "loop", "alerts": list(alerts)}
    return Notification.model_validate(body)


def loop(name: str) -> list[str]:
    return [sys.executable, "-c", LOOP, name]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PredictionStore]:
    store = PredictionStore(f"sqlite:///{tmp_path}/predictions.db")
    store.create()
    yield store
    store.close()


@pytest.fixture
def hook(tmp_path: Path, store: PredictionStore) -> Hook:
    return Hook(loop("served"), {ON_SCENE: loop("on_scene")}, 0, tmp_path / "loop.log", store)


def said(log: Path, enough: Callable[[str], bool]) -> list[str]:
    """Return what the loops have said once that is enough."""
    deadline = time.monotonic() + 60
    while not (log.exists() and enough(log.read_text())):
        assert time.monotonic() < deadline, log.read_text() if log.exists() else "nothing"
        time.sleep(0.05)
    return [line for line in log.read_text().splitlines() if not line.startswith("---")]


@pytest.mark.parametrize(
    ("model", "started"), [(ON_SCENE, "on_scene"), (None, "served"), ("of-another-project", "served")]
)
def test_an_alert_starts_the_loop_of_the_model_that_it_names(
    hook: Hook, tmp_path: Path, model: str | None, started: str
) -> None:
    assert hook.take(told(alert(model), alert(model, "MonitorNotRun"))) == "started"
    assert said(tmp_path / "loop.log", lambda text: "ends" in text) == [
        f"{started} begins",
        f"{started} ends",
    ]


def test_alerts_of_two_models_start_one_after_the_other_and_none_in_between(
    hook: Hook, tmp_path: Path
) -> None:
    log = tmp_path / "loop.log"
    assert hook.take(told(alert(None, "EndpointNotReady"), alert(ON_SCENE))) == "started"
    said(log, lambda text: "on_scene begins" in text)
    assert hook.take(told(alert(None))) == "running"
    assert said(log, lambda text: "on_scene ends" in text) == [
        f"{name} {what}" for name in ("served", "on_scene") for what in ("begins", "ends")
    ]
    heads = [line.partition("alerts: ")[2] for line in log.read_text().splitlines() if line.startswith("---")]
    assert heads == ["'EndpointNotReady'", "'RetrainingDue'"]


def test_what_serve_tells_the_api_is_a_loop_for_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in hook_variables("local", "dispatch").items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert stage_in(settings.hook_command) == "dispatch"
    stages = {model: stage_in(words) for model, words in settings.hook_commands.items()}
    assert stages == {"accident-severity-dispatch": "dispatch", ON_SCENE: "on_scene"}


def test_the_loop_computes_what_serve_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve --params mine.yaml`, from any folder."""
    monkeypatch.chdir(tmp_path)
    of_file = hook_variables("local", "dispatch", Path("mine.yaml"))
    commands = [
        json.loads(of_file["ACCIDENTS_HOOK_COMMAND"]),
        *json.loads(of_file["ACCIDENTS_HOOK_COMMANDS"]).values(),
    ]
    assert [words[words.index("--params") + 1] for words in commands] == [str(tmp_path / "mine.yaml")] * 3
    assert "--params" not in "".join(hook_variables("local", "dispatch").values())


def stage_in(words: tuple[str, ...]) -> str:
    return words[words.index("--stage") + 1]


def test_a_wrong_list_of_commands_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ("python run.py", json.dumps(["python"]), json.dumps({ON_SCENE: "python"})):
        monkeypatch.setenv("ACCIDENTS_HOOK_COMMANDS", value)
        with pytest.raises(SettingsError, match=r"`hook_commands[.`]"):
            load_settings()
