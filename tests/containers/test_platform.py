"""The platform of docker-compose.yml, started: what cannot be pulled is the same program from Debian."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.conftest import ROOT
from tests.containers.engine import ask, docker, inspect, wait_until_healthy
from tests.containers.platform_files import Platform

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_prediction_is_made_and_logged_in_postgresql(platform: Platform) -> None:
    key = platform.run("api", "cat", ".serving/caller")
    accident = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))
    answer = ask(f"{platform.url('api', 8000)}/predict", accident, key)
    assert answer["model"]["version"] == "7"
    count = f"SELECT count(*) FROM predictions WHERE request_id = '{answer['request_id']}'"
    assert platform.run("postgres", "psql", "-U", "predictions", "-d", "predictions", "-Atc", count) == "1"


def test_prometheus_reads_the_api_with_its_key_and_the_model_server(platform: Platform) -> None:
    url = f"{platform.url('prometheus', 9090)}/api/v1/targets?state=active"
    health: dict[str, str] = {}
    for _ in range(60):
        health = {one["labels"]["job"]: one["health"] for one in ask(url)["data"]["activeTargets"]}
        if set(health.values()) == {"up"}:
            break
        subprocess.run(["sleep", "1"], check=True)
    assert health == {"accidents-api": "up", "accidents-model-server": "up", "accidents-pushgateway": "up"}


def test_mlflow_asks_who_it_is_and_keeps_artifacts_in_s3(platform: Platform) -> None:
    url = f"{platform.url('mlflow', 5000)}/api/2.0/mlflow-artifacts/artifacts/of/a-test.txt"
    with pytest.raises(OSError, match="401"):
        _put(url, b"text", "")
    account = f"admin:{platform.secrets['MLFLOW_PASSWORD']}"
    _put(url, b"text", account)
    read = "boto3.client('s3').get_object(Bucket='mlflow', Key='of/a-test.txt')['Body'].read()"
    assert platform.run("mlflow", "python", "-c", f"import boto3; print({read})") == "b'text'"
    docker("restart", platform.container("s3"))
    wait_until_healthy(platform.container("s3"))
    assert platform.run("mlflow", "python", "-c", f"import boto3; print({read})") == "b'text'", "it is kept"


def test_zenml_lets_its_first_account_in(platform: Platform) -> None:
    url = f"{platform.url('zenml', 8080)}/api/v1/login"
    for password, expected in ((platform.secrets["ZENML_PASSWORD"], 200), ("wrong", 401)):
        form = urllib.parse.urlencode({"username": "admin", "password": password}).encode()
        assert _status(urllib.request.Request(url, form)) == expected


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
