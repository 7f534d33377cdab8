"""Alertmanager's hook: who may use it, and that it starts one loop, not a flood of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from accidents.errors import SettingsError
from accidents.predictions.store import LOOP as LOOP_LEASE
from accidents.predictions.store import opened_store
from benchmarks.project_copy import copy_project
from serving.api.operations.keys import Keys
from serving.api.settings import ApiSettings, load_settings
from tests.postgres import PostgresServer
from tests.serving.api_client import ACCIDENT, error_of
from tests.serving.api_process import ApiProcess, api_process
from tests.serving.test_api_document import CHECKS
from tests.serving.v2_stand_in import StandIn, stand_in

pytest_plugins = ("tests.log_fixtures",)  # the fixture `postgres`
pytestmark = [pytest.mark.server, pytest.mark.slow]
LOOP = "import os, sys, time; print('loop', os.getpid(), flush=True); time.sleep(float(sys.argv[1]))"
FIRING = {"status": "firing", "labels": {"alertname": "EndpointNotReady", "loop": "start"}}


def notification(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What Alertmanager 0.25 sends."""
    whole = [
        {
            "annotations": {"summary": "The endpoint is not ready."},
            "startsAt": "2026-11-25T08:00:00.000Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://127.0.0.1:9090/graph",
            "fingerprint": "c1b3a0e2d4f5a6b7",
            **alert,
        }
        for alert in alerts
    ]
    return {
        "version": "4",
        "groupKey": '{}:{alertname="EndpointNotReady"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "loop",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9093",
        "alerts": whole,
        **changes,
    }


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with stand_in() as model:
        yield model


class Hook:
    """A running API with a hook, and the key of it."""

    def __init__(self, folder: Path, process: ApiProcess, client: httpx.Client) -> None:
        self.folder, self.process, self.client = folder, process, client

    def post(self, body: Any, key: str | None) -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return self.client.post("/hooks/alert", json=body, headers=headers)

    @property
    def log(self) -> str:
        return (self.folder / "loop.log").read_text()

    def metric(self, name: str, key: str | None = None) -> float:
        headers = {} if key is None else {"X-API-Key": key}
        lines = self.client.get("/metrics", headers=headers).text.splitlines()
        return float(next(line for line in lines if line.startswith(name)).split()[-1])

    def wait(self, name: str, value: float) -> None:
        for _ in range(200):
            if self.metric(name) == value:
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} is {self.metric(name)}")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.process.pid).children()


@contextmanager
def hooked(folder: Path, model: StandIn, command: list[str], **changes: str) -> Iterator[Hook]:
    """An API whose hook starts `command`."""
    said = {
        "hook_command": json.dumps(command),
        "hook_keys_file": str(folder / "hook-keys.json"),
        "hook_log": str(folder / "loop.log"),
        "hook_pause": "0",
    }
    with (
        api_process(folder, model.address, **(said | changes)) as process,
        httpx.Client(base_url=process.address, trust_env=False, timeout=30) as client,
    ):
        yield Hook(folder, process, client)


def loop(seconds: float) -> list[str]:
    return [sys.executable, "-c", LOOP, str(seconds)]


def hook_key(folder: Path) -> str:
    return Keys(folder / "hook-keys.json").new("alertmanager")


def test_a_firing_alert_with_the_label_starts_the_loop(model: StandIn, tmp_path: Path) -> None:
    key = hook_key(tmp_path)
    with hooked(tmp_path, model, loop(0.2)) as hook:
        answer = hook.post(notification(FIRING), key)
        assert (answer.status_code, answer.json()) == (202, {"loop": "started"})
        hook.wait('accidents_hook_loops_total{exit="ok"}', 1)
        assert "alerts: 'EndpointNotReady'" in hook.log
        assert "loop " in hook.log
        for body in (
            notification({"status": "resolved", "labels": {"loop": "start"}}, status="resolved"),
            notification(
                {"status": "firing", "labels": {"loop": "stop"}}, {"status": "firing", "labels": {}}
            ),
        ):
            assert hook.post(body, key).json() == {"loop": "not needed"}
        assert hook.metric('accidents_hooks_total{outcome="not_needed"}') == 2
        both = notification({"status": "resolved", "labels": {}}, FIRING, more="of a later version")
        assert hook.post(both, key).json() == {"loop": "started"}


def test_without_a_command_or_a_key_there_is_no_hook(model: StandIn, tmp_path: Path) -> None:
    with hooked(tmp_path, model, loop(0)) as hook:
        error_of(hook.post(notification(FIRING), None), 404, "not_found")
        error_of(hook.post(notification(FIRING), "acc_guess"), 404, "not_found")
        key = hook_key(tmp_path)  # a running API takes it
        error_of(hook.post(notification(FIRING), None), 401, "key_missing")
        assert hook.post(notification(FIRING), key).status_code == 202
        Keys(tmp_path / "hook-keys.json").revoke("alertmanager")
        error_of(hook.post(notification(FIRING), key), 401, "key_wrong")
    with hooked(tmp_path, model, []) as hook:
        error_of(hook.post(notification(FIRING), key), 404, "not_found")


def test_each_kind_of_key_opens_its_own_door(model: StandIn, tmp_path: Path) -> None:
    of_hook, of_api = hook_key(tmp_path), Keys(tmp_path / "keys.json").new("alertmanager")
    with hooked(tmp_path, model, loop(0)) as hook:
        error_of(hook.post(notification(FIRING), of_api), 401, "key_wrong")
        mine = {"X-API-Key": of_hook}
        error_of(hook.client.post("/predict", json=ACCIDENT, headers=mine), 401, "key_wrong")
        error_of(hook.client.get("/metrics", headers=mine), 401, "key_wrong")
        assert not (tmp_path / "loop.log").exists()
        assert hook.post(notification(FIRING), of_hook).status_code == 202
        error_of(hook.client.get("/hooks/alert", headers=mine), 405, "method_not_allowed")


def test_wrong_keys_are_counted_as_elsewhere(model: StandIn, tmp_path: Path) -> None:
    key = hook_key(tmp_path)
    with hooked(tmp_path, model, loop(0), wrong_keys_per_minute="5") as hook:
        answers = [hook.post(notification(FIRING), f"guess{k}") for k in range(8)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
        assert hook.metric("accidents_refused_keys_total") == 8
        assert hook.post(notification(FIRING), key).status_code == 202


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "version"),
        (notification(FIRING, version="3"), "version"),
        (notification(FIRING, status="burning"), "status"),
        (notification(), "alerts"),
        (notification({"status": "firing", "labels": {"loop": 1}}), "alerts[0].labels.loop"),
        (notification({"status": "firing", "labels": None}), "alerts[0].labels"),
        ([notification(FIRING)], "body"),
    ],
)
def test_nonsense_is_refused_and_starts_nothing(shared: tuple[Hook, str], body: Any, where: str) -> None:
    hook, key = shared
    before = hook.metric('accidents_hooks_total{outcome="started"}')
    error = error_of(hook.post(body, key), 422, "invalid")
    assert error["details"][0]["where"] == where
    assert hook.metric('accidents_hooks_total{outcome="started"}') == before


def test_no_json_and_too_much_are_refused_as_elsewhere(shared: tuple[Hook, str]) -> None:
    hook, key = shared
    mine = {"X-API-Key": key}
    error_of(hook.client.post("/hooks/alert", content=b"{}", headers=mine), 415, "content_type")
    body = notification(FIRING, groupKey="x" * 1_000_000)
    error_of(hook.post(body, key), 413, "too_large")


@pytest.fixture(scope="module")
def shared(model: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hook, str]]:
    folder = tmp_path_factory.mktemp("shared")
    key = hook_key(folder)
    with hooked(folder, model, loop(0)) as hook:
        yield hook, key


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_hook_does_what_its_document_says(shared: tuple[Hook, str], mode: GenerationMode) -> None:
    hook, key = shared
    operation = schemathesis.openapi.from_url(f"{hook.process.address}/openapi.json")["/hooks/alert"]["POST"]

    @settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        case.headers = {**(case.headers or {}), "X-API-Key": key}
        case.call_and_validate(checks=CHECKS)

    ask()


def test_a_flood_starts_one_loop(model: StandIn, tmp_path: Path) -> None:
    key = hook_key(tmp_path)
    answers: list[str] = []
    with hooked(tmp_path, model, loop(8)) as hook:

        def send() -> None:
            for _ in range(50):
                answers.append(hook.post(notification(FIRING), key).json()["loop"])

        senders = [threading.Thread(target=send) for _ in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert answers.count("started") == 1
        assert answers.count("running") == 199
        assert len(hook.children()) == 1
        assert hook.metric("accidents_hook_loop_running") == 1
        hook.wait("accidents_hook_loop_running", 0)
        assert hook.children() == []  # not even a zombie
        assert hook.log.count("loop ") == 1


def test_after_one_there_is_a_pause_also_for_an_api_started_anew(model: StandIn, tmp_path: Path) -> None:
    key = hook_key(tmp_path)
    with hooked(tmp_path, model, loop(0), hook_pause="60") as hook:
        assert hook.post(notification(FIRING), key).json() == {"loop": "started"}
        hook.wait('accidents_hook_loops_total{exit="ok"}', 1)
        assert hook.post(notification(FIRING), key).json() == {"loop": "paused"}
    with hooked(tmp_path, model, loop(0), hook_pause="60") as hook:
        assert hook.post(notification(FIRING), key).json() == {"loop": "paused"}
    with hooked(tmp_path, model, loop(0), hook_pause="0") as hook:
        assert hook.post(notification(FIRING), key).json() == {"loop": "started"}
        hook.wait('accidents_hook_loops_total{exit="ok"}', 1)
    assert hook.log.count("loop ") == 2


def test_apis_that_share_a_log_start_one_loop(
    model: StandIn, tmp_path: Path, postgres: PostgresServer
) -> None:
    """Each in a folder of its own, as on another machine."""
    address = postgres.new_database()
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    keys = [hook_key(folder) for folder in folders]
    changes = {"hook_pause": "60", "database_url": address}
    with (
        hooked(folders[0], model, ["/nowhere"], **changes) as broken,
        hooked(folders[1], model, loop(0), **changes) as hook,
    ):
        assert broken.post(notification(FIRING), keys[0]).status_code == 503, "and leaves no pause"
        with opened_store(address) as store, store.lease(LOOP_LEASE, 60):
            assert hook.post(notification(FIRING), keys[1]).json() == {"loop": "running"}
        assert hook.post(notification(FIRING), keys[1]).json() == {"loop": "started"}
        assert broken.post(notification(FIRING), keys[0]).json() == {"loop": "paused"}


def test_the_loop_outlives_the_api_which_knows_it_when_it_is_back(model: StandIn, tmp_path: Path) -> None:
    key = hook_key(tmp_path)
    with hooked(tmp_path, model, loop(30)) as hook:
        hook.post(notification(FIRING), key)
        (running,) = hook.children()
        assert running.cmdline()[-1] == "30"
        hook.process.process.kill()
    try:
        assert running.is_running()
        with hooked(tmp_path, model, loop(0)) as hook:
            assert hook.post(notification(FIRING), key).json() == {"loop": "running"}
            running.kill()
            for _ in range(100):
                answer = hook.post(notification(FIRING), key).json()["loop"]
                if answer == "started":
                    return
                time.sleep(0.05)
            raise AssertionError(answer)
    finally:
        if running.is_running():
            running.kill()


def test_a_loop_of_one_of_several_processes_measures_for_itself(model: StandIn, tmp_path: Path) -> None:
    """Its gauges are none of the API's, whose folder of metrics is gone before it is."""
    key, said = hook_key(tmp_path), "import os; print('folder', os.environ.get('PROMETHEUS_MULTIPROC_DIR'))"
    with hooked(tmp_path, model, [sys.executable, "-c", said], processes="2") as hook:
        assert hook.post(notification(FIRING), key).json() == {"loop": "started"}
        hook.wait('accidents_hook_loops_total{exit="ok"}', 1)
        assert "folder None" in hook.log


def test_a_loop_that_fails_is_counted_and_told(model: StandIn, tmp_path: Path) -> None:
    key = hook_key(tmp_path)
    with hooked(tmp_path, model, [sys.executable, "-c", "raise SystemExit('no champion yet')"]) as hook:
        assert hook.post(notification(FIRING), key).json() == {"loop": "started"}
        hook.wait('accidents_hook_loops_total{exit="failed"}', 1)
        assert "no champion yet" in hook.log
        assert "exit code 1" in hook.process.log.read_text()
        assert hook.post(notification(FIRING), key).json() == {"loop": "started"}  # and may be tried again


def test_a_command_that_is_not_there_is_503_and_no_pause(model: StandIn, tmp_path: Path) -> None:
    key = hook_key(tmp_path)
    with hooked(tmp_path, model, ["/nowhere/at/all"], hook_pause="60") as hook:
        for _ in range(2):
            answer = hook.post(notification(FIRING), key)
            error = error_of(answer, 503, "loop_unavailable")
            assert answer.headers["retry-after"] == "1"
            assert "/nowhere" not in error["message"]
        assert "/nowhere/at/all" in hook.process.log.read_text()
        assert hook.metric('accidents_hooks_total{outcome="failed"}') == 2


def test_names_of_alerts_cannot_forge_the_log_which_does_not_grow_for_ever(
    model: StandIn, tmp_path: Path
) -> None:
    key = hook_key(tmp_path)
    (tmp_path / "loop.log").write_text("x" * 1_000_001)
    with hooked(tmp_path, model, loop(0)) as hook:
        labels = {"loop": "start", "alertname": "a\n--- forged\x1b[31m" + "b" * 10_000}
        hook.post(notification({"status": "firing", "labels": labels}), key)
        hook.wait('accidents_hook_loops_total{exit="ok"}', 1)
        assert len(hook.log) < 500
        assert [line.split()[0] for line in hook.log.splitlines()] == ["---", "loop"]
        assert (tmp_path / "loop.log.1").stat().st_size == 1_000_001


def test_predictions_go_on_while_a_loop_runs(model: StandIn, tmp_path: Path) -> None:
    key = hook_key(tmp_path)
    with hooked(tmp_path, model, loop(5)) as hook:
        hook.post(notification(FIRING), key)
        assert hook.client.post("/predict", json=ACCIDENT).status_code == 200
        assert hook.metric('accidents_department_predictions_total{department="59"}') == 1
        (running,) = hook.children()
        running.kill()


def test_keys_of_the_hook_are_made_and_revoked_on_the_command_line(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")

    def command(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "run.py", *words], cwd=project, capture_output=True, text=True, check=False
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    code, said = command("keys", "new", "--hook", "--name", "alertmanager")
    assert code == 0
    assert "It opens POST /hooks/alert, and nothing else." in said
    (made,) = re.findall(r"acc_\S+", said)
    assert Keys(project / ".serving" / "hook-keys.json").check(made) == "alertmanager"
    assert not (project / ".serving" / "keys.json").exists()  # the API still asks nobody
    assert command("keys", "revoke", "alertmanager")[0] == 1  # no such key of the API
    assert command("keys", "revoke", "alertmanager", "--hook")[0] == 0
    assert Keys(project / ".serving" / "hook-keys.json").check(made) is None
    code, said = command("status", "--hook")
    assert code == 2
    assert "--hook does not go with run.py status" in said


def test_a_wrong_command_and_a_shared_file_of_keys_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCIDENTS_HOOK_COMMAND", '["python", "run.py"]')
    assert load_settings().hook_command == ("python", "run.py")
    for name, value, says in (
        ("ACCIDENTS_HOOK_COMMAND", "python run.py", "list of words"),
        ("ACCIDENTS_HOOK_COMMAND", '{"a": 1}', "hook_command"),
        ("ACCIDENTS_HOOK_KEYS_FILE", ".serving/keys.json", "another file than `keys_file`"),
        ("ACCIDENTS_KEYS_FILE", str(ApiSettings.model_fields["hook_keys_file"].default), "another file"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(SettingsError, match=says):
                load_settings()
