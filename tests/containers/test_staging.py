"""From a laptop to the platform: `stack apply staging`, train, serve from a container; look at its log."""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.parse
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.containers.engine import ask, docker
from tests.containers.platform_files import Platform
from tests.pipelines.conftest import Project
from tests.servers.conftest import tiny_project

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1800)]

PORTS = {"s3": "7070", "mlflow": "5000", "postgres": "5432", "pushgateway": "9091"}
# Where the champion's bundle is.
PLACE = """
from stacks.apply import use_stack
use_stack("staging")
from zenml.client import Client
from steps.support import champion_and_versions
version = champion_and_versions.champion(champion_and_versions.model_name("dispatch"))
print(champion_and_versions.bundle_artifact(version).uri)
"""


@pytest.fixture
def laptop(platform: Platform, tmp_path: Path) -> Project:
    """A project beside the platform, with the .env that `make up` has written; the ports are the test's."""
    made = tiny_project(tmp_path / "a project")
    shutil.copy(platform.folder / ".env", made.folder / ".env")
    for service, port in PORTS.items():
        published = platform.compose("port", service, port)
        made.environment[f"{service.upper()}_PORT"] = published.rpartition(":")[2]
    return made


def test_the_same_pipelines_run_on_the_platform(
    platform: Platform, laptop: Project, images: dict[str, str]
) -> None:
    applied = laptop("stack", "apply", "staging").stdout
    assert "created artifact_store" in applied
    assert not [name for name, value in platform.secrets.items() if name.endswith("KEY") and value in applied]
    checked = laptop("stack", "check", "staging").stdout
    assert "wrote, read and deleted an object in s3://zenml" in checked
    assert "logged and deleted a run at http" in checked
    assert "ok    prediction log: postgresql" in checked
    trained = laptop("--pipeline", "train", "--stack", "staging").stdout
    assert "This is version 1, newly registered; champion: version 1. Stack staging." in trained
    assert laptop.python(PLACE).strip().splitlines()[-1].startswith("s3://zenml/")
    laptop.environment["MODEL_SERVER_IMAGE"] = images["model-server"]
    laptop("--pipeline", "deploy", "--stack", "staging")
    try:
        assert "healthy" in laptop("status", "--stack", "staging").stdout
        served = laptop.folder / ".serving" / "model-server"
        assert docker("ps", "--quiet", "--filter", f"volume={served}"), "it serves in a container"
        laptop("--pipeline", "inference", "--input", "2022", "--stack", "staging")
        laptop("--pipeline", "monitor", "--input", "2022", "--decide-only", "--stack", "staging")
        assert not (laptop.folder / ".serving" / "predictions.db").exists(), "the log is the platform's"
    finally:
        laptop("stop", "--stack", "staging")


def test_a_laptops_monitor_ends_the_alert_that_nobody_looks(platform: Platform, laptop: Project) -> None:
    accident = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))
    ask(f"{platform.url('api', 8000)}/predict", accident, platform.run("api", "cat", ".serving/caller"))
    _until(platform, 'ALERTS{alertname="MonitorNeverRan"}', there=True)
    laptop("--pipeline", "train")
    done = laptop.shell(sys.executable, "-m", "commands.platform", "monitor", "--decide-only")
    assert "of the prediction log" in done.stdout
    _until(platform, "accidents_monitor_run_timestamp_seconds", there=True)
    _until(platform, 'ALERTS{alertname="MonitorNeverRan"}', there=False)


def _until(platform: Platform, query: str, there: bool, seconds: float = 90) -> None:
    """Until Prometheus has something of a query, or nothing any more; it reads and decides every 15 s."""
    url = f"{platform.url('prometheus', 9090)}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    end = time.monotonic() + seconds
    while bool(ask(url)["data"]["result"]) is not there:
        assert time.monotonic() < end, query
        time.sleep(1)
