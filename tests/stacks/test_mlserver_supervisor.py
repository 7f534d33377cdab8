"""Whatever ends the model server, it is brought back, once; what cannot be mended is given up and told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.folder import ServedModel, ServerFolder, write_json
from stacks.components.mlserver.server import ModelServer
from stacks.components.mlserver.server_container import InContainer
from stacks.components.mlserver.settings import ServerSettings
from stacks.components.mlserver.supervisor import Budget
from stacks.components.mlserver.supervisor_handle import PROGRAM, State, Supervision, read_supervision
from stacks.errors import StackError
from tests.conftest import ROOT
from tests.model_servers import (
    NAME,
    Version,
    client_of,
    copy_code,
    daemon_of,
    deploy,
    forge_in_place,
    make_version,
    model_server,
    request,
)
from tests.processes import free_port

SETTINGS = ServerSettings(folder="", lock="lock", code="code", restarts=3, restart_window=100)
PATIENCE = 120


def test_the_pauses_between_restarts_grow_and_their_number_is_bounded() -> None:
    budget, now, pauses = Budget(), 0.0, []
    for _ in range(3):
        assert not budget.is_spent(now, SETTINGS)
        started = now
        while budget.must_wait(now):
            now += 0.25
        pauses.append(now - started)
        budget.spend(now)
    assert pauses == [0, 1, 2]
    assert budget.is_spent(now, SETTINGS)
    assert budget.is_spent(99, SETTINGS)
    assert not budget.is_spent(101, SETTINGS)  # the first is longer ago than the window
    for _ in range(10):
        budget.spend(now)
    assert not budget.must_wait(now + 30)
    budget.renew()
    assert not budget.is_spent(now, SETTINGS)
    assert not budget.must_wait(now)


@pytest.fixture
def lost(tmp_path: Path) -> ServerFolder:
    """A folder that says what is served, and of whose server nothing is left: it cannot be brought back."""
    folder = ServerFolder(tmp_path)
    folder.serve(ServedModel(NAME, "1", "digest"))
    write_settings(folder)
    return folder


def write_settings(folder: ServerFolder, **changes: object) -> None:
    """As a deployment does."""
    usual = {"folder": str(folder.root), "lock": "lock", "code": "code", "restarts": 1, "supervisor_port": 0}
    write_json(folder.settings, {**usual, **changes})


def test_what_was_given_up_and_then_stopped_alerts_nobody(lost: ServerFolder) -> None:
    with service(lost):
        eventually(lambda: "accidents_model_server_gave_up 1.0" in metrics(lost))
        assert "accidents_model_server_up 0.0" in metrics(lost)
        lost.stop(NAME)
        eventually(lambda: "accidents_model_server_gave_up 0.0" in metrics(lost))
        assert "accidents_model_server_up NaN" in metrics(lost)
        eventually(lambda: supervision_of(lost).state == State.watching)


def test_its_metrics_are_where_the_last_deployment_says(tmp_path: Path) -> None:
    folder, ports = ServerFolder(tmp_path), (free_port(), free_port())
    with service(folder):
        eventually(lambda: read_supervision(folder))  # before the first deployment
        for port in ports:
            write_settings(folder, supervisor_port=port)
            eventually(lambda port=port: supervision_of(folder).metrics_port == port)
            assert "accidents_model_server_gave_up 0.0" in metrics(folder)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{ports[0]}/metrics", trust_env=False)


def test_a_setting_that_newer_code_has_added_does_not_end_its_watch(lost: ServerFolder) -> None:
    write_settings(lost, added_by_newer_code=1)
    with service(lost):
        eventually(lambda: "accidents_model_server_gave_up 1.0" in metrics(lost))


def test_while_it_cannot_look_nobody_is_told_that_the_server_answers(lost: ServerFolder) -> None:
    lost.stop(NAME)
    with service(lost):
        eventually(lambda: "accidents_model_server_up NaN" in metrics(lost))
        write_settings(lost, restarts="often")
        eventually(lambda: "accidents_model_server_up 0.0" in metrics(lost))


def test_a_container_is_left_to_its_engine_by_a_service_of_the_system_too(lost: ServerFolder) -> None:
    lost.stop(NAME)
    with service(lost) as process:
        eventually(lambda: "accidents_model_server_up NaN" in metrics(lost))
        with lost.alone():
            container = ServerSettings(folder=str(lost.root), image="road-accidents/model-server")
            InContainer(container, lost).supervise()
        lost.serve(ServedModel(NAME, "1", "digest"))  # and no container is there
        time.sleep(2)
        assert supervision_of(lost).pid == process.pid
        assert (supervision_of(lost).state, supervision_of(lost).restarts) == (State.watching, 0)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return make_version(tmp_path_factory.mktemp("one"), seed=1)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return make_version(tmp_path_factory.mktemp("two"), seed=2)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_code(tmp_path_factory.mktemp("code"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: what is compiled for the first server need not be for the next."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture
def server(folder: Path, code: Path, one: Version) -> Iterator[ModelServer]:
    """One that serves version 1 and is supervised."""
    with model_server(folder, code, restarts=2, hang_timeout=10, stop_timeout=5) as running:
        deploy(running, "1", one)
        yield running
    assert family(running) == []


def eventually(what: Callable[[], object], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def version_of(server: ModelServer) -> str | None:
    """The version that answers, None if nobody does."""
    daemon = server.daemon()
    said = None if daemon is None else ModelServerClient(daemon.http_port).metadata(NAME)
    return None if said is None else str(said["versions"][0])


def process_of(server: ModelServer) -> psutil.Process:
    return psutil.Process(daemon_of(server).pid)


def supervision_of(server: ModelServer | ServerFolder) -> Supervision:
    supervision = read_supervision(server if isinstance(server, ServerFolder) else server.folder)
    assert supervision is not None
    return supervision


def family(server: ModelServer) -> list[list[str]]:
    """The command lines of all that runs for a server."""
    lines = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(str(server.folder.root) in word for word in line)]


def kill(server: ModelServer) -> None:
    process = process_of(server)
    process.kill()
    psutil.wait_procs([process], 10)


def metrics(server: ModelServer | ServerFolder) -> str:
    """What Prometheus reads of the supervisor, nothing before it is there."""
    folder = server if isinstance(server, ServerFolder) else server.folder
    supervision = read_supervision(folder)
    port = supervision.metrics_port if supervision else None
    return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text if port else ""


def brought_back(server: ModelServer, times: int) -> Callable[[], bool]:
    def look() -> bool:
        supervision = supervision_of(server)
        return (supervision.restarts, supervision.state) == (times, State.watching)

    return look


@pytest.mark.server
@pytest.mark.slow
class TestSupervisor:
    """Each with a real model server."""

    def test_killed_it_comes_back_as_it_was_and_says_so(self, server: ModelServer) -> None:
        eventually(lambda: "accidents_model_server_up 1.0" in metrics(server))
        before = server.daemon()
        assert before is not None
        kill(server)
        eventually(lambda: version_of(server) == "1")
        after = server.daemon()
        assert after is not None
        assert after.ports == before.ports
        assert after.pid != before.pid
        eventually(brought_back(server, 1))
        assert "brought back 1 times" in server.supervision()
        assert "it had ended" in server.supervision()
        assert 'accidents_model_server_restarts_total{fault="ended"} 1.0' in metrics(server)
        assert len(family(server)) == 2

    def test_a_hanging_one_is_ended_and_comes_back(self, server: ModelServer) -> None:
        stuck = process_of(server)
        stuck.suspend()
        eventually(brought_back(server, 1))
        assert version_of(server) == "1"
        assert process_of(server) != stuck
        assert "it did not answer" in server.supervision()
        assert len(family(server)) == 2

    def test_a_model_that_it_has_lost_is_loaded_again(self, server: ModelServer) -> None:
        process = process_of(server)
        client_of(server).unload(NAME)
        eventually(brought_back(server, 1))
        assert version_of(server) == "1"
        assert process_of(server) == process

    def test_what_is_broken_is_given_up_and_told_until_a_deployment_mends_it(
        self, server: ModelServer, one: Version, two: Version
    ) -> None:
        forge_in_place(server, one)
        kill(server)
        eventually(lambda: supervision_of(server).state == State.gave_up)
        told = supervision_of(server)
        assert "tried 2 times in 10 minutes" in told.reason
        assert "not the bundle that was registered" in told.reason
        assert "run.py --pipeline deploy" in told.reason
        assert "accidents_model_server_gave_up 1.0" in metrics(server)
        time.sleep(2)
        assert supervision_of(server) == told
        deploy(server, "2", two)
        eventually(lambda: supervision_of(server).state == State.watching)
        assert version_of(server) == "2"
        assert "accidents_model_server_gave_up 0.0" in metrics(server)
        kill(server)
        eventually(lambda: version_of(server) == "2")

    def test_without_its_supervisor_it_serves_and_the_next_deployment_brings_one(
        self, server: ModelServer, two: Version
    ) -> None:
        process = process_of(server)
        dead = supervision_of(server)
        os.kill(dead.pid, signal.SIGKILL)
        eventually(lambda: read_supervision(server.folder) is None)
        assert version_of(server) == "1"
        assert "nobody supervises it" in server.supervision()
        deploy(server, "2", two)
        assert process_of(server) == process
        assert supervision_of(server).pid != dead.pid
        assert len(family(server)) == 2
        kill(server)
        eventually(lambda: version_of(server) == "2")

    def test_stopped_without_its_supervisor_nothing_is_left(self, server: ModelServer) -> None:
        os.kill(supervision_of(server).pid, signal.SIGKILL)
        server.stop(NAME)
        assert family(server) == []

    def test_stopped_while_it_is_brought_back_it_stays_stopped(self, server: ModelServer) -> None:
        kill(server)
        eventually(lambda: supervision_of(server).state == State.restarting)
        server.stop(NAME)
        assert family(server) == []
        assert server.folder.served() == {}

    def test_a_deployment_while_it_is_brought_back_wins(self, server: ModelServer, two: Version) -> None:
        kill(server)
        eventually(lambda: supervision_of(server).state == State.restarting)
        deploy(server, "2", two)
        assert version_of(server) == "2"
        eventually(lambda: supervision_of(server).state == State.watching)
        assert len(family(server)) == 2

    def test_a_failed_deployment_leaves_it_supervised(self, server: ModelServer, tmp_path: Path) -> None:
        os.kill(supervision_of(server).pid, signal.SIGKILL)
        eventually(lambda: read_supervision(server.folder) is None)
        with pytest.raises(StackError, match="is no bundle"):
            server.deploy(NAME, "2", tmp_path, tmp_path / "golden.json")
        assert supervision_of(server).pid

    def test_told_to_end_both_end_and_a_service_of_the_system_brings_them_back(
        self, server: ModelServer, one: Version
    ) -> None:
        """Also if the signals were ignored by whoever started it, as under nohup."""
        eventually(lambda: metrics(server))  # it runs, and so it has its handlers
        os.kill(supervision_of(server).pid, signal.SIGTERM)
        eventually(lambda: family(server) == [])
        assert NAME in server.folder.served()
        with service(server.folder) as process:
            eventually(lambda: version_of(server) == "1")
            with subprocess.Popen([*COMMAND, str(server.folder.root), "--stay"], cwd=ROOT) as second:
                assert second.wait(PATIENCE) == 0
            assert len(family(server)) == 2
            server.stop(NAME)
            assert process.poll() is None
            deploy(server, "1", one)
            assert supervision_of(server).pid == process.pid
            kill(server)
            eventually(lambda: version_of(server) == "1")
            process.terminate()
            assert process.wait(PATIENCE) == 0
        assert family(server) == []

    def test_a_service_of_the_system_takes_over_from_a_deployments_supervisor(
        self, server: ModelServer
    ) -> None:
        before, serving = supervision_of(server).pid, process_of(server)
        with service(server.folder) as process:
            eventually(lambda: getattr(read_supervision(server.folder), "pid", None) == process.pid)
            assert not (psutil.pid_exists(before) and psutil.Process(before).status() != "zombie")
            assert process_of(server) == serving
            process.terminate()
            assert process.wait(PATIENCE) == 0
        assert family(server) == []

    def test_told_to_end_it_answers_what_was_asked_before(self, server: ModelServer, one: Version) -> None:
        rows = one.rows[one.bundle.features].sample(10_000, replace=True, random_state=1)
        url = f"{client_of(server).url}/v2/models/{NAME}/infer"
        headers = {"Content-Type": "application/json"}
        content = json.dumps(request(rows))  # once, so that each is on its way when the server is told to end
        answers: list[int] = []

        def ask() -> None:
            said = httpx.post(url, content=content, headers=headers, timeout=PATIENCE, trust_env=False)
            answers.append(said.status_code)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        eventually(lambda: metrics(server))
        os.kill(supervision_of(server).pid, signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert answers == [200] * 4
        eventually(lambda: family(server) == [])

    def test_without_restarts_nobody_brings_it_back(self, folder: Path, code: Path, one: Version) -> None:
        with model_server(folder, code, restarts=0) as alone:
            deploy(alone, "1", one)
            assert len(family(alone)) == 1
            assert "nobody supervises it" in alone.supervision()

    def test_a_port_that_is_taken_leaves_it_without_metrics_but_supervised(
        self, folder: Path, code: Path, one: Version
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with model_server(folder, code, supervisor_port=port) as other:
                deploy(other, "1", one)
                eventually(lambda: f"port {port}" in other.folder.supervisor_log.read_text())
                kill(other)
                eventually(lambda: version_of(other) == "1")


COMMAND = [sys.executable, "-m", PROGRAM]


@contextmanager
def service(folder: ServerFolder) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor as systemd starts it, with the signals ignored that nohup ignores."""
    words = ["sh", "-c", 'trap "" TERM INT HUP; exec "$@"', "sh", *COMMAND, str(folder.root), "--stay"]
    with subprocess.Popen(words, cwd=ROOT) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
