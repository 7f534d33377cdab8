"""What docker-compose.yml's services are given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from accidents.bundle import Bundle
from accidents.errors import AccidentsError
from accidents.rollout.traffic_split import CHALLENGER, CHAMPION
from benchmarks.project_copy import copy_project
from commands import platform
from serving.api.operations.keys import Keys
from stacks import placeholders
from stacks.endpoints import ServedVersion, State
from steps.support import champion_and_versions
from tests import model_servers


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACCIDENTS_KEYS_FILE", str(tmp_path / "keys.json"))
    platform.write_settings(tmp_path)
    return tmp_path


def test_prometheus_reads_services_by_their_names_and_no_supervisor(shared: Path) -> None:
    config = yaml.safe_load((shared / "watch" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert targets == {
        "accidents-api": ["api:8000"],
        "accidents-model-server": ["model-server:8087"],
        "accidents-pushgateway": ["pushgateway:9091"],
    }


def test_no_alert_is_sent_to_a_hook_that_nobody_opens(shared: Path) -> None:
    text = (shared / "watch" / "alertmanager.yml").read_text(encoding="utf-8")
    assert "hooks/alert" not in text
    assert {one["name"] for one in yaml.safe_load(text)["receivers"]} == {"person", "loop"}


def test_the_keys_are_the_apis_and_stay(shared: Path) -> None:
    files = {"caller": shared / "caller", "prometheus": shared / "watch" / "metrics-key"}
    before = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    platform.write_settings(shared)
    keys = Keys(shared / "keys.json")
    for name, path in files.items():
        assert path.read_text(encoding="utf-8") == before[name]
        assert keys.check(before[name]) == name
        assert path.stat().st_mode & 0o007 == 0


def test_a_lost_key_is_replaced(shared: Path) -> None:
    lost = (shared / "caller").read_text(encoding="utf-8")
    (shared / "caller").unlink()
    platform.write_settings(shared)
    keys = Keys(shared / "keys.json")
    assert keys.check((shared / "caller").read_text(encoding="utf-8")) == "caller"
    assert keys.check(lost) is None


def serve(monkeypatch: pytest.MonkeyPatch, bundle: Bundle, number: str, **changed: object) -> None:
    """Have stack local serve a version with this bundle, whatever its deployer is."""
    served = replace(
        ServedVersion(number, bundle.digest, CHAMPION, 90, State.healthy, model_servers.NAME), **changed
    )
    endpoint = SimpleNamespace(versions=lambda: (served, replace(served, version="9", role=CHALLENGER)))
    endpoints = SimpleNamespace(names=lambda: [model_servers.NAME], endpoint=lambda name: endpoint)
    monkeypatch.setattr("stacks.endpoints.endpoints_on", lambda stack: endpoints)
    monkeypatch.setattr(platform, "on_stack", lambda stack: None)
    monkeypatch.setattr(champion_and_versions, "version", lambda name, number: f"{name} {number}")
    of = {f"{model_servers.NAME} {number}": bundle}
    monkeypatch.setattr(champion_and_versions, "bundle_of", of.__getitem__)


def test_what_is_served_here_is_laid_out_for_the_model_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    before = os.umask(0o077)
    request.addfinalizer(lambda: os.umask(before))
    for number in ("1", "2"):
        made = model_servers.make_version(tmp_path / f"made-{number}", seed=int(number))
        serve(monkeypatch, made.bundle, number)
        told = platform.publish_models(tmp_path / "platform")
        assert told == [f"{model_servers.NAME} version {number}"]
        place = tmp_path / "platform" / model_servers.NAME
        settings = json.loads((place / "model-settings.json").read_text(encoding="utf-8"))
        assert settings["parameters"] == {
            "uri": "bundle", "extra": {"version": number, "digest": made.bundle.digest}
        }  # fmt: skip
        assert (place / "bundle" / "manifest.json").read_bytes() == (
            made.bundle.folder / "manifest.json"
        ).read_bytes()
        # Whatever this person's umask, the container's user may read it.
        assert all(path.stat().st_mode & 0o044 == 0o044 for path in (place, *place.rglob("*")))
    assert [one.name for one in (tmp_path / "platform").iterdir()] == [model_servers.NAME]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"state": State.stopped}, "--pipeline deploy --stack docker"),
        ({"digest": "of another store"}, "deploy it again"),
    ],
)
def test_what_is_stopped_or_of_another_store_is_a_plain_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object], told: str
) -> None:
    serve(monkeypatch, model_servers.make_version(tmp_path / "made", seed=1).bundle, "1", **changed)
    with pytest.raises(AccidentsError, match=told):
        platform.publish_models(tmp_path / "platform", "docker")


def test_words_that_mean_nothing_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "publish_models", lambda *_: pytest.fail("a stack too many"))
    monkeypatch.setattr(platform, "write_settings", lambda: pytest.fail("nobody asked for that"))
    for words in (("model", "local", "docker"), ("modle",)):
        assert platform.main(*words) == 1
        assert f"{' '.join(words)}: it takes no word, `model`," in capsys.readouterr().err


@pytest.fixture
def dot_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's `.env`, in a folder of the test's own."""
    for name in ("MODELS", "PREDICTIONS_DATABASE_PASSWORD", "POSTGRES_PORT", "PUSHGATEWAY_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(placeholders, "project_root", lambda: tmp_path)
    file = tmp_path / ".env"
    file.touch(0o600)
    return file


@pytest.mark.parametrize("where", ["the shell", ".env", ""])
def test_models_go_where_the_platform_mounts_them_from(
    dot_env: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    given: list[Path] = []

    def publish(target: Path) -> list[str]:
        given.append(target)
        return []

    monkeypatch.setattr(platform, "ROOT", tmp_path)
    monkeypatch.setattr(platform, "publish_models", publish)
    expected = tmp_path / "elsewhere" if where else tmp_path / ".serving" / "platform"
    if where == ".env":
        dot_env.write_text("MODELS=./elsewhere\n", encoding="utf-8")
    elif where:
        monkeypatch.setenv("MODELS", str(expected))
    assert platform.main("model") == 0
    assert given == [expected]


def test_the_monitor_looks_at_the_platforms_log_and_tells_its_prometheus(
    dot_env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dot_env.write_text("PREDICTIONS_DATABASE_PASSWORD=secret\nPUSHGATEWAY_PORT=9999\n", encoding="utf-8")
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda _, words, there: started.append((words, there)))
    platform.main("monitor", "--every", "6h")
    ((words, there),) = started
    assert words[1:] == [str(platform.ROOT / "run.py"), "--pipeline", "monitor", "--every", "6h"]
    log = "postgresql+psycopg://predictions:secret@127.0.0.1:15432/predictions"
    assert (there["ACCIDENTS_DATABASE_URL"], there["ACCIDENTS_PUSHGATEWAY"]) == (log, "http://127.0.0.1:9999")


def test_a_laptop_without_the_platforms_passwords_is_told_so(
    dot_env: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert platform.main("monitor") == 1
    assert "PREDICTIONS_DATABASE_PASSWORD, which is not set" in capsys.readouterr().err


def test_without_the_logs_password_it_is_told_and_no_monitor_begins(tmp_path: Path) -> None:
    """In a copy: the project's own `.env` may have the password, and name a server on which a team works."""
    project = copy_project(tmp_path / "project")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZENML_")}
    environment["PREDICTIONS_DATABASE_PASSWORD"] = ""
    words = [sys.executable, "-m", "commands.platform", "monitor", "--decide-only"]
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PREDICTIONS_DATABASE_PASSWORD" in done.stderr
    assert "Traceback" not in done.stderr
