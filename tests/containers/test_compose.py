"""docker-compose.yml: what it asks for, and the platform as it starts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.containers.platform_files import FILES, compose, platform_folder, profile

PUBLISHED = {"api", "zenml", "mlflow", "s3", "grafana", "prometheus", "alertmanager"}
ON_LOOPBACK = {"postgres", "pushgateway", "airflow"}  # whatever BIND says
ENDING = {"buckets", "settings", "airflow-database", "airflow-settings"}  # services that do something once
AIRFLOW = ("--profile", "airflow")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the platform's files and an .env of its own."""
    return platform_folder(tmp_path_factory.mktemp("platform"))


@pytest.fixture(scope="module")
def services(project: Path) -> dict[str, Any]:
    """What compose makes of the file."""
    done = compose(project, *AIRFLOW, "config")
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


def secrets() -> list[str]:
    """The names that .env.example leaves empty."""
    return re.findall(r"^([A-Z0-9_]+)=$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_secret_is_random_and_for_the_owner_of_the_file_alone(project: Path) -> None:
    told = dict(
        line.split("=", 1)
        for line in (project / ".env").read_text(encoding="utf-8").splitlines()
        if re.match("[A-Z]", line)
    )
    values = [told[name] for name in secrets()]
    assert len(set(values)) == len(values) > 8
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in values)
    assert (project / ".env").stat().st_mode & 0o077 == 0


def test_an_env_that_is_there_stays(project: Path) -> None:
    before = (project / ".env").read_bytes()
    subprocess.run([project / "compose" / "environment.sh"], check=True)
    assert (project / ".env").read_bytes() == before


@pytest.mark.parametrize("end", ["\n", ""])  # some editors leave the last line without an end
def test_one_that_is_older_than_airflows_profile_gets_its_names_and_no_others(
    tmp_path: Path, end: str
) -> None:
    folder = platform_folder(tmp_path)
    env, script = folder / ".env", folder / "compose" / "environment.sh"
    whole = env.read_text(encoding="utf-8").splitlines()
    old = [line for line in whole if not line.startswith(("AIRFLOW_", "ZENML_SECRETS_KEY"))]
    env.write_text("\n".join(old) + end, encoding="utf-8")
    for _ in range(2):
        subprocess.run([script], check=True)
    now = env.read_text(encoding="utf-8").splitlines()
    assert now[: len(old)] == old
    added = dict(line.split("=", 1) for line in now[len(old) :])
    assert list(added) == [name for name in secrets() if name.startswith("AIRFLOW_")]
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in added.values())
    assert env.stat().st_mode & 0o077 == 0


def test_airflow_is_started_with_its_profile_alone(services: dict[str, Any]) -> None:
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    assert profiles == {name: ["airflow"] for name in services if name.startswith("airflow")}
    assert len(profiles) == 5


def test_airflows_password_may_be_any(services: dict[str, Any], tmp_path: Path) -> None:
    accounts, airflow, password = tmp_path / "accounts.json", tmp_path / "airflow", "a\\tb \"c\" 'd'"
    airflow.write_text("#!/bin/sh\n", encoding="utf-8")
    airflow.chmod(0o755)
    told = services["airflow"]["command"]
    words = [word.replace("$$", "$").replace("/tmp/accounts.json", str(accounts)) for word in told]
    folders = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(words, check=True, env={"PATH": folders, "ACCOUNT": "admin", "PASSWORD": password})
    assert json.loads(accounts.read_text(encoding="utf-8")) == {"admin": password}
    assert accounts.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("words", "built"), [((), False), (("PROFILE=airflow",), True)])
def test_airflows_image_is_built_with_its_profile_alone(words: tuple[str, ...], built: bool) -> None:
    told = subprocess.run(
        ["make", "-n", "images", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert ("--tag road-accidents/airflow:" in told) is built


def test_every_variable_is_explained_and_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    assert {name for name in used if not re.search(rf"\b{name}\b", example)} == {"TAG"}
    for name in secrets():
        assert f"${{{name}:?" in text, name
        assert f"${{{name}:-" not in text, name
    written = re.findall(r"(\w+(?:PASSWORD|SECRET|KEY)): *[\"']?\w", text)
    assert written == ["MARIADB_RANDOM_ROOT_PASSWORD"]  # of the server's own making


def test_nothing_starts_while_a_secret_is_missing(project: Path, services: dict[str, Any]) -> None:
    told = project / ".env"
    whole = told.read_text(encoding="utf-8")
    try:
        told.write_text(re.sub("^GRAFANA_PASSWORD=.*$", "GRAFANA_PASSWORD=", whole, flags=re.MULTILINE))
        done = compose(project, "config", "--quiet")
        assert done.returncode != 0
        assert "GRAFANA_PASSWORD" in done.stderr
        assert ".env.example" in done.stderr
    finally:
        told.write_text(whole, encoding="utf-8")


def test_only_what_people_and_their_runs_ask_has_ports_and_on_loopback(services: dict[str, Any]) -> None:
    ports = {name: [str(one) for one in service.get("ports", ())] for name, service in services.items()}
    assert {name for name, published in ports.items() if published} == PUBLISHED | ON_LOOPBACK
    assert all("127.0.0.1" in port for published in ports.values() for port in published)


def test_what_has_no_login_or_encryption_stays_on_loopback_whatever_bind_says(project: Path) -> None:
    config = yaml.safe_load(compose(project, *AIRFLOW, "config", BIND="192.0.2.1").stdout)
    on_loopback = {
        name for name, service in config["services"].items() if "127.0.0.1" in str(service.get("ports"))
    }
    assert on_loopback == ON_LOOPBACK


def test_mlflow_answers_to_further_names_that_env_gives_it(project: Path, services: dict[str, Any]) -> None:
    assert services["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].endswith(",localhost:*")
    told = {"MLFLOW_HOSTS": "mlflow.example.org", "MLFLOW_ORIGINS": "https://mlflow.example.org"}
    config = yaml.safe_load(compose(project, "config", **told).stdout)["services"]["mlflow"]["environment"]
    assert config["MLFLOW_SERVER_ALLOWED_HOSTS"] == "mlflow:5000,127.0.0.1:*,mlflow.example.org"
    assert config["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == "https://mlflow.example.org"


def test_a_profile_that_is_not_there_is_said(project: Path) -> None:
    """Compose would start the rest as if all were well."""
    assert profile(project, "").returncode == 0
    assert profile(project, "left-out", *FILES).returncode == 0
    done = profile(project, "left-in", *FILES)
    assert done.returncode == 1
    assert done.stderr == "docker-compose.yml has no profile left-in. It has: airflow left-out.\n"


def test_every_service_is_bounded_watched_pinned_and_hardened(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert "mem_limit" in service, name
        assert not service["image"].endswith(":latest"), name
        assert ":" in service["image"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        ours = service["image"].startswith("road-accidents/")
        assert service.get("read_only", False) or not ours, name
        # Our servers' images have checks of their own; the Pushgateway's has no program to ask it with.
        checked = "healthcheck" in service or name in {*ENDING, "api", "model-server", "pushgateway"}
        assert checked, name
