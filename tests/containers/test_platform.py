"""The platform of docker-compose.yml, started: what cannot be pulled is the same program from Debian."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.containers.engine import ask, docker, inspect, wait_until_healthy
from tests.containers.platform_files import STAND_INS, compose, model_repository, platform_folder, secrets_of

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1200)]

STARTED = ("api", "zenml", "mlflow", "prometheus", "alertmanager", "pushgateway")  # with what they depend on
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Platform:
    """One that runs."""

    folder: Path
    variables: dict[str, str]

    def compose(self, *words: str) -> str:
        """What `docker-compose WORDS` prints."""
        files = ("-f", "docker-compose.yml", "-f", str(STAND_INS))
        done = compose(self.folder, *files, *words, **self.variables)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout.strip()

    def url(self, service: str, port: int) -> str:
        """Where a service is published."""
        return f"http://{self.compose('port', service, str(port))}"

    def run(self, service: str, *command: str) -> str:
        """What a command prints in a service's container."""
        return self.compose("exec", "-T", service, *command)

    @property
    def secrets(self) -> dict[str, str]:
        return secrets_of(self.folder)


@pytest.fixture(scope="module")
def platform(
    images: dict[str, str], base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    told = ("--build-arg", f"BASE_IMAGE={base_image}", "--tag", "road-accidents/stand-ins:test")
    docker("build", "--quiet", *told, str(HERE / "stand_ins"), timeout=600)
    models = tmp_path_factory.mktemp("models")
    model_repository(models)
    ports = {f"{name.upper()}_PORT": "0" for name in ("api", "zenml", "mlflow", "prometheus", "alertmanager")}
    name = {"COMPOSE_PROJECT_NAME": f"accidents-test-{uuid.uuid4().hex[:6]}", "MODELS": str(models)}
    started = Platform(platform_folder(tmp_path_factory.mktemp("platform")), {**ports, **name})
    try:
        started.compose("up", "--detach", *STARTED)
        for service in ("api", "zenml", "mlflow", "prometheus", "alertmanager"):
            wait_until_healthy(started.compose("ps", "-q", service))
        yield started
    finally:
        print(compose(started.folder, "logs", "--no-color", "--tail=40", **started.variables).stdout)
        started.compose("down", "--volumes", "--remove-orphans")


def test_a_prediction_is_made_and_logged_in_postgresql(platform: Platform) -> None:
    key = platform.run("api", "cat", ".serving/caller")
    accident = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))
    assert ask(f"{platform.url('api', 8000)}/predict", accident, key)["model"]["version"] == "7"
    count = "SELECT count(*) FROM predictions"
    logged = platform.run("postgres", "psql", "-U", "predictions", "-d", "predictions", "-Atc", count)
    assert logged == "1"


def test_prometheus_reads_the_api_with_its_key_and_the_model_server(platform: Platform) -> None:
    url = f"{platform.url('prometheus', 9090)}/api/v1/targets?state=active"
    health: dict[str, str] = {}
    for _ in range(60):
        health = {one["labels"]["job"]: one["health"] for one in ask(url)["data"]["activeTargets"]}
        if set(health.values()) == {"up"}:
            break
        subprocess.run(["sleep", "1"], check=True)
    assert health == {"accidents-api": "up", "accidents-model-server": "up", "pushgateway": "up"}


def test_mlflow_asks_who_it_is_and_keeps_artifacts_in_s3(platform: Platform) -> None:
    url = f"{platform.url('mlflow', 5000)}/api/2.0/mlflow-artifacts/artifacts/of/a-test.txt"
    with pytest.raises(OSError, match="401"):
        _put(url, b"text", "")
    account = f"admin:{platform.secrets['MLFLOW_PASSWORD']}"
    _put(url, b"text", account)
    read = "boto3.client('s3').get_object(Bucket='mlflow', Key='of/a-test.txt')['Body'].read()"
    assert platform.run("mlflow", "python", "-c", f"import boto3; print({read})") == "b'text'"


def test_zenml_lets_its_first_account_in(platform: Platform) -> None:
    url = f"{platform.url('zenml', 8080)}/api/v1/login"
    for password, expected in ((platform.secrets["ZENML_PASSWORD"], 200), ("wrong", 401)):
        form = urllib.parse.urlencode({"username": "admin", "password": password}).encode()
        assert _status(urllib.request.Request(url, form)) == expected


def test_it_comes_back_with_what_it_stored(platform: Platform) -> None:
    platform.compose("stop", "api", "postgres")
    platform.compose("up", "--detach", "api")
    wait_until_healthy(platform.compose("ps", "-q", "api"))
    key = platform.run("api", "cat", ".serving/caller")
    answer: dict[str, Any] = ask(f"{platform.url('api', 8000)}/health/ready", key=key)
    assert answer["ready"] is True


def test_nothing_was_restarted_or_killed_for_its_memory(platform: Platform) -> None:
    for name in platform.compose("ps", "-q").splitlines():
        found = inspect("container", name)
        assert (found["RestartCount"], found["State"]["OOMKilled"]) == (0, False), found["Name"]


def _put(url: str, body: bytes, account: str) -> None:
    authorization = {"Authorization": f"Basic {base64.b64encode(account.encode()).decode()}"}
    request = urllib.request.Request(url, body, authorization if account else {}, method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


def _status(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
