"""`make watch` as a person runs it, in a copy of the project."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from benchmarks.project_copy import copy_project
from commands.watch import WatchSettings, addresses
from observability.addresses import Addresses, write_configs
from serving.api.operations.keys import Keys
from stacks.processes import is_alive
from tests.conftest import ROOT
from tests.observability.servers import free_addresses, needs_programs, until

PORTS = (
    "prometheus_port",
    "alertmanager_port",
    "pushgateway_port",
    "grafana_port",
    "model_server_metrics_port",
    "supervisor_port",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy whose ports are free ones."""
    folder = copy_project(tmp_path / "project")
    free = [int(address.rpartition(":")[2]) for address in free_addresses(len(PORTS))]
    ports = dict(zip(PORTS, free, strict=True))
    (folder / "configs" / "watch.yaml").write_text(yaml.safe_dump(ports), encoding="utf-8")
    return folder


def environment(path: str | None = None) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ACCIDENTS_")}
    return ours if path is None else ours | {"PATH": path}


# As `nohup make watch &` starts it.
IGNORING = ["sh", "-c", 'trap "" INT TERM HUP; exec "$@"', "sh"]


@contextmanager
def watching(project: Path, path: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`make watch`, all ready."""
    with (project / "said").open("wb") as said:
        process = subprocess.Popen(
            [*IGNORING, sys.executable, "-m", "commands.watch"],
            cwd=project, env=environment(path), stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or "Ctrl-C" in text(project), "it says where it is", 30)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def text(project: Path) -> str:
    return (project / "said").read_text(encoding="utf-8")


def port_of(project: Path, name: str) -> int:
    return int(yaml.safe_load((project / "configs" / "watch.yaml").read_text())[f"{name}_port"])


def ready(project: Path, name: str) -> bool:
    try:
        address = f"http://127.0.0.1:{port_of(project, name)}/-/ready"
        return httpx.get(address, trust_env=False, verify=False).status_code == 200
    except httpx.HTTPError:
        return False


@needs_programs
@pytest.mark.slow
@pytest.mark.server
def test_it_brings_all_up_and_ends_all(project: Path) -> None:
    names = ("prometheus", "alertmanager", "pushgateway")
    with watching(project) as process:
        until(lambda: all(ready(project, name) for name in names), "they are ready", 30)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == len(names)
        for child in children:
            listening = [one for one in child.net_connections("inet") if one.status == psutil.CONN_LISTEN]
            assert [one.laddr[0] for one in listening] == ["127.0.0.1"]
        assert all(str(port_of(project, name)) in text(project) for name in names)
        assert "import observability/grafana/dashboards/*.json" in text(project)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=20) == 0
    assert not any(is_alive(child) for child in children)
    assert "Traceback" not in text(project)
    assert not any(ready(project, name) for name in names)


@needs_programs
@pytest.mark.slow
@pytest.mark.server
def test_it_makes_the_keys_that_are_needed_and_no_others(project: Path) -> None:
    hook, metrics = project / ".watch" / "hook-key", project / ".watch" / "metrics-key"
    of_hook = Keys(project / ".serving" / "hook-keys.json")
    with watching(project):
        assert of_hook.check(hook.read_text()) == "alertmanager"
        assert stat.S_IMODE(hook.stat().st_mode) == 0o600
        assert metrics.read_text() == ""
        assert not (project / ".serving" / "keys.json").exists()
        of_api = Keys(project / ".serving" / "keys.json")
        of_api.new("control-room")  # from now on the API asks, Prometheus too
        until(lambda: of_api.check(metrics.read_text()) == "prometheus", "a key", 10)
        assert stat.S_IMODE(metrics.stat().st_mode) == 0o600
        before = hook.read_text()
        of_hook.revoke("alertmanager")
        until(lambda: of_hook.check(hook.read_text()) == "alertmanager", "another key", 10)
        assert hook.read_text() != before
    kept = hook.read_text()
    with watching(project):
        assert hook.read_text() == kept
    for name in ("prometheus.yml", "alertmanager.yml"):
        assert "acc_" not in (project / ".watch" / name).read_text()


@needs_programs
@pytest.mark.slow
@pytest.mark.server
def test_one_that_ends_is_told_and_ends_the_others(project: Path) -> None:
    with watching(project) as process:
        children = psutil.Process(process.pid).children()
        next(child for child in children if "alertmanager" in child.name()).kill()
        assert process.wait(timeout=20) == 1
    assert "alertmanager has ended (exit code -9)" in text(project)
    assert not any(is_alive(child) for child in children)


@needs_programs
@pytest.mark.slow
def test_grafana_is_used_where_it_is(project: Path, tmp_path: Path) -> None:
    """A stand-in of the name that only says how it was started: Grafana itself is in no Debian package."""
    home = tmp_path / "grafana"
    (home / "conf").mkdir(parents=True)
    (home / "bin").mkdir()
    program = home / "bin" / "grafana-server"
    program.write_text('#!/bin/sh\necho "$@"; env | grep ^GF_\nexec sleep 60\n')
    program.chmod(0o755)
    log = project / ".watch" / "grafana.log"
    with watching(project, f"{program.parent}{os.pathsep}{os.environ['PATH']}"):
        until(lambda: "GF_SERVER_HTTP_PORT" in log.read_text(), "it has said all", 10)
        assert f"GF_PATHS_PROVISIONING={project}/.watch/provisioning\n" in log.read_text()
        assert "GF_SERVER_HTTP_ADDR=127.0.0.1\n" in log.read_text()
        assert "--homepath=" in log.read_text()
        assert f"http://127.0.0.1:{port_of(project, 'grafana')}" in text(project)
    (provider,) = yaml.safe_load(
        (project / ".watch" / "provisioning" / "dashboards" / "accidents.yaml").read_text()
    )["providers"]
    assert len(list(Path(provider["options"]["path"]).glob("*.json"))) == 3


def run(project: Path, path: str | None = None) -> str:
    """What it says where it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "commands.watch"],
        cwd=project, env=environment(path), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    return " ".join(done.stdout.split())


@pytest.mark.slow
def test_what_is_not_installed_is_named_with_its_package(project: Path) -> None:
    said = run(project, "/nowhere")
    assert "apt-get install --no-install-recommends prometheus prometheus-alertmanager" in said


@needs_programs
@pytest.mark.slow
def test_a_port_that_is_taken_and_a_wrong_key_are_named(project: Path) -> None:
    listener = subprocess.Popen(
        [sys.executable, "-m", "http.server", "-b", "127.0.0.1", str(port_of(project, "pushgateway"))],
        cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port_of(project, 'pushgateway')}/"
        until(lambda: answers(address), "it listens", 10)
        assert "set another pushgateway_port in configs/watch.yaml" in run(project)
    finally:
        listener.terminate()
        listener.wait()
    (project / "configs" / "watch.yaml").write_text("prometeus_port: 9090\n")
    assert "did you mean `prometheus_port`" in run(project)


def answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False, verify=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_where_nothing_supervises_the_model_server_nothing_is_read_or_missed(tmp_path: Path) -> None:
    at = addresses(WatchSettings(supervisor_port=None))
    write_configs(tmp_path, at)
    written = yaml.safe_load((tmp_path / "prometheus.yml").read_text(encoding="utf-8"))
    assert {job["job_name"] for job in written["scrape_configs"]} == at.targets.keys() - {
        "accidents-supervisor"
    }


def test_the_files_in_the_repository_have_the_same_addresses() -> None:
    """They work as they are, too."""
    written: Mapping[str, object] = yaml.safe_load(
        (ROOT / "configs" / "watch.yaml").read_text(encoding="utf-8")
    )
    assert WatchSettings.model_validate(written) == WatchSettings()
    assert written.keys() == WatchSettings.model_fields.keys()
    at: Addresses = addresses(WatchSettings())
    prometheus = yaml.safe_load((ROOT / "observability" / "prometheus.yml").read_text(encoding="utf-8"))
    found = {job["job_name"]: job["static_configs"][0]["targets"][0] for job in prometheus["scrape_configs"]}
    assert found == at.targets
    (manager,) = prometheus["alerting"]["alertmanagers"]
    assert manager["static_configs"][0]["targets"] == [at.alertmanager]
    assert f"http://{at.api}/hooks/alert" in (ROOT / "observability" / "alertmanager.yml").read_text(
        encoding="utf-8"
    )
