"""The profile `airflow`: Airflow on the platform, whose tasks run commands in a container of it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from accidents.__about__ import __version__
from tests.conftest import ROOT
from tests.containers.conftest import TAG, started_platform
from tests.containers.engine import ENVIRONMENT, LOCKED_DOWN, ask, inspect, run
from tests.containers.platform_files import Platform
from tests.servers.conftest import tiny_project

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1800)]

PROFILE = ("--profile", "airflow")
PARTS = ("airflow", "airflow-scheduler", "airflow-dag-processor")
BUDGET = 1_450  # MB, of which the pipelines' image is 1,200
# A small experiment, and a task that fails is tried again at once.
SMALL = """
services:
  airflow-scheduler:
    environment: {{ACCIDENTS_RETRY_SECONDS: "1"}}
    volumes: ["{params}:/app/params.yaml:ro"]
  airflow-dag-processor:
    environment: {{ACCIDENTS_RETRY_SECONDS: "1"}}
"""


@pytest.fixture(scope="module")
def image(images: dict[str, str], base_image: str) -> str:
    """Its name; it is built as `make images PROFILE=airflow` does, of the pipelines' one."""
    words = ["make", "images", f"BASE_IMAGE={base_image}", f"TAG={TAG}", "PROFILE=airflow"]
    made = subprocess.run(words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    return f"road-accidents/airflow:{TAG}"


def test_the_image_has_both_environments_within_its_budget(image: str, images: dict[str, str]) -> None:
    found, pipelines = inspect("image", image), inspect("image", images["pipelines"])
    assert found["Size"] / 1e6 <= BUDGET
    layers = pipelines["RootFS"]["Layers"]
    assert found["RootFS"]["Layers"][: len(layers)] == layers, "what the pipelines' image has is had once"
    labels = found["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.title"] == "road-accidents Airflow"
    compilers = "id -u; for one in cc gcc g++ ld strip make uv; do command -v $one; done; true"
    assert run(image, "sh", "-c", compilers) == "10001"
    both = "airflow version; .venv/bin/python -c 'import sys, zenml; print(zenml.__version__, sys.prefix)'"
    assert run(image, "sh", "-c", both, options=(*LOCKED_DOWN, "--volume", "/state")).split() == [
        _locked("apache-airflow-core", "airflow"), _locked("zenml", "platform"), "/app/.venv",
    ]  # fmt: skip


class Airflow:
    """The profile's parts beside the platform, asked over HTTP with the account of .env."""

    def __init__(self, platform: Platform, said: str) -> None:
        self.platform, self.said = platform, said
        self.containers = {name: platform.container(name) for name in PARTS}
        self.client = httpx.Client(base_url=platform.url("airflow", 8080), timeout=30, trust_env=False)

    def log_in(self) -> None:
        account = {"username": "admin", "password": self.platform.secrets["AIRFLOW_PASSWORD"]}
        token = self.client.post("/auth/token", json=account).raise_for_status().json()["access_token"]
        self.client.headers["Authorization"] = f"Bearer {token}"

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        return self.client.request(method, f"/api/v2/{path}", json=body).raise_for_status().json()

    def ended(self, run_id: str, seconds: float = 240) -> dict[str, str]:
        """How each task of a daily run ended."""
        path = f"dags/accidents_daily/dagRuns/{run_id}"
        end = time.monotonic() + seconds
        while self("GET", path)["state"] not in ("success", "failed"):
            assert time.monotonic() < end, self("GET", f"{path}/taskInstances")
            time.sleep(2)
        return {
            one["task_id"]: one["state"] for one in self("GET", f"{path}/taskInstances")["task_instances"]
        }

    def log(self, run_id: str, task: str, attempt: int = 1) -> str:
        """What a task said, as the pages show it."""
        return json.dumps(
            self("GET", f"dags/accidents_daily/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}")
        )

    def alerts(self) -> list[dict[str, Any]]:
        """Those of Airflow that stand at the platform's Alertmanager."""
        url = f"{self.platform.url('alertmanager', 9093)}/api/v2/alerts"
        found = [one for one in ask(url) if one["labels"]["alertname"] == "AirflowTaskFailed"]
        return [one for one in found if datetime.fromisoformat(one["endsAt"]) > datetime.now(UTC)]


@pytest.fixture(scope="module")
def airflow(image: str, stand_ins: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Started as `make up PROFILE=airflow` does, on a platform of its own: it leaves runs on that."""
    folder = tmp_path_factory.mktemp("airflow")
    params = tiny_project(folder / "laptop").folder / "params.yaml"
    params.chmod(0o644)
    small = folder / "small.yml"
    small.write_text(SMALL.format(params=params), encoding="utf-8")
    with started_platform(tmp_path_factory, "-f", str(small), *PROFILE) as (platform, said):
        made = Airflow(platform, said)
        with made.client:
            yield made


def test_it_is_on_loopback_healthy_and_asks_who_it_is(airflow: Airflow) -> None:
    assert f"\nairflow        {airflow.platform.url('airflow', 8080)}\n" in airflow.said
    assert airflow.client.base_url.host == "127.0.0.1"
    for name in PARTS:
        found = inspect("container", airflow.containers[name])
        assert found["State"]["Health"]["Status"] == "healthy"
        assert found["HostConfig"]["Memory"] > 0
        assert found["HostConfig"]["ReadonlyRootfs"]
    for path in ("dags", "importErrors", "connections"):
        assert airflow.client.get(f"/api/v2/{path}").status_code == 401
    wrong = airflow.client.post("/auth/token", json={"username": "admin", "password": "admin"})
    assert wrong.status_code == 401
    airflow.log_in()
    assert airflow("GET", "importErrors")["import_errors"] == []
    dags = {one["dag_id"]: one["is_paused"] for one in airflow("GET", "dags")["dags"]}
    assert dags == dict.fromkeys(("accidents_daily", "accidents_yearly", "accidents_new_year"), True)


def test_a_task_that_fails_is_told_to_the_platforms_alertmanager(airflow: Airflow) -> None:
    """Nobody has trained yet; switched on, the last due run starts by itself."""
    airflow.log_in()
    airflow("PATCH", "dags/accidents_daily", {"is_paused": False})
    end = time.monotonic() + 90
    while not (runs := airflow("GET", "dags/accidents_daily/dagRuns")["dag_runs"]):
        assert time.monotonic() < end
        time.sleep(2)
    (started,) = runs
    assert started["run_type"] == "scheduled"
    assert airflow.ended(started["dag_run_id"])["monitor"] == "failed"
    assert "has no champion yet to watch" in airflow.log(started["dag_run_id"], "monitor", 3)
    (told,) = airflow.alerts()
    assert told["labels"] == {
        "alertname": "AirflowTaskFailed", "severity": "warning", "dag": "accidents_daily", "task": "monitor",
        "stack": "staging", "stage": "dispatch",
    }  # fmt: skip
    assert "has no champion yet" in told["annotations"]["description"]


def test_a_quiet_day_looks_at_the_platforms_predictions(airflow: Airflow) -> None:
    platform = airflow.platform
    accident = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))
    ask(f"{platform.url('api', 8000)}/predict", accident, platform.run("api", "cat", ".serving/caller"))
    trained = platform.run(
        "airflow-scheduler", "python", "run.py", "--pipeline", "train", "--stack", "staging"
    )
    assert "champion: version 1. Stack staging." in trained
    airflow.log_in()
    started = airflow("POST", "dags/accidents_daily/dagRuns", {"logical_date": None})["dag_run_id"]
    ended = airflow.ended(started)
    said = airflow.log(started, "monitor")
    assert ended.pop("monitor") == "success", said
    assert set(ended.values()) == {"skipped"}
    assert "of the prediction log" in said
    assert "on stack staging" in said
    assert airflow.alerts() == []
    looks = "SELECT step, outcome, detail FROM loop_events"
    (look,) = platform.run(
        "postgres", "psql", "-U", "predictions", "-d", "predictions", "-Atc", looks
    ).splitlines()
    assert look.startswith("monitor|ok|")
    assert '"reason": "airflow"' in look


def test_none_of_it_was_restarted_or_killed_for_its_memory(airflow: Airflow) -> None:
    for name in PARTS:
        found = inspect("container", airflow.containers[name])
        assert (found["RestartCount"], found["State"]["OOMKilled"]) == (0, False), name


def _locked(package: str, lock: str) -> str:
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith(f"{package}==")]
    return line.partition("==")[2].split()[0]
