"""The real Prometheus, Alertmanager and Pushgateway over a real API and a real model server.

A minute of the project's files takes a second here: see servers.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from observability.metric_names import MODEL_SERVER, OWN, PROCESS, PUSHED
from serving.api.operations.keys import Keys
from stacks.components.mlserver.server import ModelServer
from stacks.components.mlserver.supervisor_handle import read_supervision
from tests.conftest import ROOT
from tests.model_servers import Version, client_of, copy_code, deploy, make_version, model_server
from tests.observability.reports import push
from tests.observability.servers import Watch, needs_programs, until, watching
from tests.serving.api_client import ACCIDENT
from tests.serving.api_process import ApiProcess, api_process

pytestmark = [pytest.mark.server, pytest.mark.slow, needs_programs]
DASHBOARDS = sorted((ROOT / "observability" / "grafana" / "dashboards").glob("*.json"))
LOOP = "import pathlib, sys; pathlib.Path(sys.argv[1]).open('a').write('ran\\n')"


@dataclass
class Running:
    """All that runs, and where the loop of the hook leaves its mark."""

    watch: Watch
    api: ApiProcess
    models: ModelServer
    version: Version
    mark: Path

    @property
    def loops(self) -> int:
        return self.mark.read_text().count("ran") if self.mark.exists() else 0

    def notifications(self, outcome: str) -> float:
        found = self.watch.query(f'accidents_hooks_total{{outcome="{outcome}"}}')
        return float(found[0]["value"][1]) if found else 0.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("watched")
    version = make_version(folder / "version", seed=1)
    mark = folder / "mark"
    key = Keys(folder / "hook-keys.json").new("alertmanager")
    with model_server(folder / "models", copy_code(folder / "code")) as models:
        deploy(models, "1", version)
        daemon = models.daemon()
        assert daemon is not None
        until(lambda: getattr(read_supervision(models.folder), "metrics_port", None), "the supervisor", 30)
        supervision = read_supervision(models.folder)
        assert supervision is not None
        hook = {
            "hook_command": json.dumps([sys.executable, "-c", LOOP, str(mark)]),
            "hook_keys_file": str(folder / "hook-keys.json"),
            "hook_log": str(folder / "loop.log"),
            "hook_pause": "0",
        }
        with (
            api_process(folder, client_of(models).url, **hook) as api,
            watching(
                folder / "watch",
                api.address.removeprefix("http://"),
                f"127.0.0.1:{daemon.metrics_port}",
                key,
                supervisor=f"127.0.0.1:{supervision.metrics_port}",
            ) as watch,
        ):
            yield Running(watch, api, models, version, mark)


@pytest.fixture(scope="module")
def traffic(running: Running) -> Iterator[Running]:
    """Somebody asks all the time, tells outcomes, and the monitor has pushed what it found."""
    push(running.watch.at.pushgateway, "features")
    done = threading.Event()
    asking = threading.Thread(target=ask, args=(running.api.address, done))
    asking.start()
    yield running
    done.set()
    asking.join()


def ask(address: str, done: threading.Event) -> None:
    with httpx.Client(base_url=address, trust_env=False) as client:
        for k in range(10_000):
            if done.wait(0.1):
                return
            place = {"department": ("59", "69", "75")[k % 3]}
            with suppress(httpx.HTTPError):  # the last test ends the API
                client.post("/predict", json=ACCIDENT | {"place": place, "accident_id": f"a{k}"})
                client.post("/labels", json={"labels": [{"accident_id": f"a{k}", "severe": k % 3 == 0}]})


def queries() -> list[Any]:
    """Every query of every panel."""
    found = []
    for path in DASHBOARDS:
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                name = f"{path.stem}: {panel['title']}, {target['refId']}"
                found.append(pytest.param(target["expr"], id=name))
    return found


def filled_in(expression: str) -> str:
    """As Grafana asks: a variable of which all is chosen is its `allValue`."""
    known = {"__rate_interval": "10s", "__range": "1m", "route": ".*", "feature": ".*"}
    return re.sub(r"\$(\w+)", lambda match: known[match[1]], expression)


@pytest.mark.parametrize("expression", queries())
def test_every_panel_shows_something(traffic: Running, expression: str) -> None:
    def values() -> list[float]:
        return [float(one["value"][1]) for one in traffic.watch.query(filled_in(expression))]

    until(lambda: any(value == value for value in values()), f"a number for {expression}", 30)


def test_every_variable_has_values(traffic: Running) -> None:
    found = {}
    for path in DASHBOARDS:
        for variable in json.loads(path.read_text(encoding="utf-8"))["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
                assert asked
                found[variable["name"]] = traffic.watch.label_values(*asked.groups())
    assert set(found) == {"route", "feature"}
    assert "/predict" in found["route"]
    assert found["feature"] == ["light", "speed_limit"]


def test_what_rules_may_use_is_there(traffic: Running) -> None:
    def absent() -> list[str]:
        names = [*PUSHED, *MODEL_SERVER, *PROCESS, *OWN]
        return [name for name in names if not traffic.watch.query(name)]

    until(lambda: not absent(), f"{absent()} are there", 30)
    assert {one["metric"]["model"] for one in traffic.watch.query("accidents_monitor_rows")} == {
        "accident-severity-dispatch"
    }


def test_rules_are_evaluated_without_an_error(traffic: Running) -> None:
    address = f"http://{traffic.watch.at.prometheus}/api/v1/rules"
    groups = httpx.get(address, trust_env=False).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 30
    assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []


def test_drift_is_told_and_starts_no_loop(traffic: Running) -> None:
    until(lambda: "FeatureDrift" in traffic.watch.firing(), "the alert", 20)
    until(lambda: "FeatureDrift" in told(traffic), "Alertmanager has it", 20)
    slow = {
        "LatencyBudgetBurnsFast",
        "LatencyBudgetBurnsSlowly",
    }  # a busy machine may be, and time is short here
    assert traffic.watch.firing() - slow <= {"FeatureDrift", "StaleChampion"}
    assert traffic.loops == 0
    push(traffic.watch.at.pushgateway)
    until(lambda: "FeatureDrift" not in traffic.watch.firing(), "it is over", 20)


def told(running: Running) -> set[str]:
    """The alerts that Alertmanager knows."""
    answer = httpx.get(f"http://{running.watch.at.alertmanager}/api/v2/alerts", trust_env=False).json()
    return {one["labels"]["alertname"] for one in answer}


def test_a_killed_model_server_starts_the_loop_and_one_that_is_back_ends_the_alert(traffic: Running) -> None:
    daemon, supervision = traffic.models.daemon(), read_supervision(traffic.models.folder)
    assert daemon is not None
    assert supervision is not None
    for process in (supervision.pid, daemon.pid):  # else the supervisor would be faster than the alert
        os.kill(process, signal.SIGKILL)
    alert = until(lambda: "EndpointNotReady" in traffic.watch.firing(), "the alert", 30)
    loop = until(lambda: traffic.loops, "the loop", 30)
    print(f"alert after {alert:.1f} s, loop {loop:.1f} s later")
    assert "'EndpointNotReady'" in (traffic.mark.parent / "loop.log").read_text()
    until(lambda: traffic.notifications("started") == traffic.loops, "it is counted", 10)
    deploy(traffic.models, "2", traffic.version)  # as the loop would
    until(lambda: "EndpointNotReady" not in traffic.watch.firing(), "the alert is over", 30)
    until(lambda: traffic.notifications("not_needed"), "it is told", 60)


def test_failing_predictions_spend_the_budget_fast(traffic: Running) -> None:
    until(lambda: traffic.watch.query("accidents:errors:ratio1h > 14.4 * accidents:errors:budget"), "it", 60)


def test_an_api_that_is_gone_is_told(traffic: Running) -> None:
    traffic.api.process.kill()
    until(lambda: "EndpointDown" in traffic.watch.firing(), "the alert", 30)
    until(lambda: "EndpointDown" in told(traffic), "Alertmanager has it", 30)
