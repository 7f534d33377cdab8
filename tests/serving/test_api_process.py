"""The API as a process: bad callers, kills, and a real model server that comes and goes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from accidents.predictions.database_tables import OutdatedError
from accidents.predictions.prediction_log import PredictionLog
from serving.api.operations.keys import Keys
from stacks.components.mlserver.server import ModelServer
from tests.accidents.predictions.old_stores import make_old
from tests.conftest import ROOT
from tests.model_servers import Version, client_of, copy_code, deploy, model_server
from tests.serving.api_client import ACCIDENT, error_of
from tests.serving.api_process import ApiProcess, api_process, environment
from tests.serving.v2_stand_in import StandIn, stand_in

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with stand_in() as model:
        yield model


@pytest.fixture(scope="module")
def running(model: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with api_process(tmp_path_factory.mktemp("api"), model.address, request_timeout="1") as process:
        yield process


def client_for(process: ApiProcess) -> httpx.Client:
    return httpx.Client(base_url=process.address, trust_env=False, timeout=30)


def start(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """An API that should not start."""
    return subprocess.run(
        [sys.executable, "-m", "serving.api"],
        cwd=ROOT, env=environment(folder, "http://127.0.0.1:1", **changes),
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"host": "0.0.0.0"}, "holds no key"),
        ({"port": "99999"}, "`port`"),
        ({"docs": "maybe"}, "`docs`"),
        ({"database_url": "mysql://x"}, "database_url"),
    ],
)
def test_it_does_not_start_on_what_is_wrong_and_says_it_in_a_line(
    tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    ended = start(tmp_path, **changes)
    assert ended.returncode == 1
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_of_metrics_that_another_project_names_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be gone, or hold what others count."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "gone"))
    ended = start(tmp_path, host="0.0.0.0")
    assert ended.stderr.startswith("PROMETHEUS_MULTIPROC_DIR of the shell is not used: ")
    assert "holds no key" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_keys_that_are_left_in_the_file_do_not_open_the_api(tmp_path: Path) -> None:
    """Whoever sets `keys_in: database` and forgets them is told, and nobody is let in without a key."""
    Keys(tmp_path / "keys.json").new("one")
    ended = start(tmp_path, keys_in="database")
    assert ended.returncode == 1
    assert "keys to-database" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_pod_of_a_cluster_begins_a_log_and_leaves_an_older_one_as_it_is(
    model: StandIn, tmp_path: Path
) -> None:
    """Else one canary would bring it up to date, and the pods beside it could not use it any more."""
    manifest = next(yaml.safe_load_all((ROOT / "kubernetes" / "base" / "api.yaml").read_text("utf-8")))
    (pod,) = manifest["spec"]["template"]["spec"]["containers"]
    (told,) = (each["value"] for each in pod["env"] if each["name"] == "ACCIDENTS_UPGRADE_LOG")
    with api_process(tmp_path, model.address, upgrade_log=told):  # there is none yet
        pass
    old = f"sqlite:///{tmp_path / 'old' / 'predictions.db'}"
    make_old(old, "log 2 and history")
    ended = start(tmp_path, database_url=old, upgrade_log=told)
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("Make a backup, then run: python run.py database upgrade")
    assert "no way back" in ended.stderr
    with closing(PredictionLog(old)) as log, pytest.raises(OutdatedError):
        log.count()
    with api_process(tmp_path, model.address, database_url=old):  # elsewhere its start does it
        pass
    with closing(PredictionLog(old)) as log:
        assert log.count() == 4


def test_with_a_key_it_may_be_reached_from_elsewhere(model: StandIn, tmp_path: Path) -> None:
    key = Keys(tmp_path / "keys.json").new("one")
    with api_process(tmp_path, model.address, host="0.0.0.0") as process:
        address = f"http://127.0.0.1:{process.port}"
        with httpx.Client(base_url=address, trust_env=False) as client:
            error_of(client.post("/predict", json=ACCIDENT), 401, "key_missing")
            assert client.post("/predict", json=ACCIDENT, headers={"X-API-Key": key}).status_code == 200


def test_a_hundred_megabytes_are_refused_and_cost_nothing(running: ApiProcess) -> None:
    def memory() -> int:
        status = Path(f"/proc/{running.process.pid}/status").read_text(encoding="ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])

    before = memory()
    chunk = b"x" * 1_000_000
    with client_for(running) as client:
        announced = client.post("/predict", content=chunk * 100, headers={"Content-Type": "application/json"})
        error_of(announced, 413, "too_large")
        chunks = (chunk for _ in range(100))
        chunked = client.post("/predict", content=chunks, headers={"Content-Type": "application/json"})
        error_of(chunked, 413, "too_large")
    assert memory() - before < 20_000  # kB


def connect(process: ApiProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", process.port), timeout=30)


def received(connection: socket.socket) -> bytes:
    """All until the other side closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_a_slow_body_is_408(running: ApiProcess) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with connect(running) as connection:
        connection.sendall(head + b"Content-Length: 100\r\n\r\n{")
        begun = time.monotonic()
        answer = received(connection)
        assert 0.5 < time.monotonic() - begun < 4
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"body_timeout"' in answer


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"])
def test_slow_headers_are_closed(running: ApiProcess, sent: bytes) -> None:
    with connect(running) as connection:
        begun = time.monotonic()
        connection.sendall(sent)
        for _ in range(5 if sent else 0):  # a byte now and then does not help
            time.sleep(0.2)
            connection.sendall(b"X")
        assert received(connection) == b""
        assert time.monotonic() - begun < 10


def test_what_is_no_http_is_answered_in_the_one_shape(running: ApiProcess) -> None:
    with connect(running) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"code":"bad_request"' in answer


def test_ten_thousand_wrong_keys_slow_nobody_down(model: StandIn, tmp_path: Path) -> None:
    key = Keys(tmp_path / "keys.json").new("one")
    statuses: list[int] = []
    # The guessers and the model share this process: what it waits for itself, the API is not to blame for.
    with api_process(tmp_path, model.address, model_timeout="20") as process:

        def guess() -> None:
            with client_for(process) as client:
                for k in range(2_500):
                    statuses.append(client.post("/predict", headers={"X-API-Key": f"k{k}"}).status_code)

        guessers = [threading.Thread(target=guess) for _ in range(4)]
        for guesser in guessers:
            guesser.start()
        times = []
        with client_for(process) as client:
            while any(guesser.is_alive() for guesser in guessers):
                begun = time.perf_counter()
                answer = client.post("/predict?reasons=false", json=ACCIDENT, headers={"X-API-Key": key})
                times.append(time.perf_counter() - begun)
                assert answer.status_code == 200, answer.text
        for guesser in guessers:
            guesser.join()
    assert len(statuses) == 10_000
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 60
    assert np.median(times) < 0.25


def test_killed_under_load_it_loses_no_answered_prediction(model: StandIn, tmp_path: Path) -> None:
    answered: list[str] = []
    with api_process(tmp_path, model.address) as process:

        def ask() -> None:
            with client_for(process) as client:
                try:
                    while True:
                        answer = client.post("/predict?reasons=false", json=ACCIDENT)
                        answered.append(answer.json()["request_id"])
                except httpx.HTTPError:
                    return

        askers = [threading.Thread(target=ask) for _ in range(8)]
        for asker in askers:
            asker.start()
        end = time.monotonic() + 60
        while len(answered) <= 200 and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(process.process.pid, signal.SIGKILL)
        for asker in askers:
            asker.join()
    log = PredictionLog(f"sqlite:///{tmp_path / 'predictions.db'}")
    kept = {row["request_id"] for row in log.read()}
    log.close()
    assert len(answered) > 200
    assert set(answered) <= kept


def test_told_to_stop_it_answers_what_is_on_its_way(model: StandIn, tmp_path: Path) -> None:
    with api_process(tmp_path, model.address) as process, client_for(process) as client:
        client.post("/predict", json=ACCIDENT)
        model.delay = 0.4
        try:
            asked = threading.Thread(target=lambda: answers.append(client.post("/predict", json=ACCIDENT)))
            answers: list[httpx.Response] = []
            asked.start()
            time.sleep(0.15)
            process.process.terminate()
            asked.join()
        finally:
            model.delay = 0
        assert answers[0].status_code == 200
        assert process.process.wait(timeout=15) in (0, -signal.SIGTERM)


def test_the_real_model_gives_the_probabilities_of_its_bundle(
    server: ModelServer, version: Version, tmp_path: Path
) -> None:
    with api_process(tmp_path, client_of(server).url) as process, client_for(process) as client:
        accidents = [ACCIDENT | {"speed_limit": limit, "light": limit % 5 + 1} for limit in (30, 50, 80, 130)]
        for query in ("reasons=false", "reasons=true&language=fr"):
            entries = client.post(f"/predict/batch?{query}", json={"accidents": accidents}).json()
            alone = [client.post(f"/predict?{query}", json=one).json() for one in accidents]
            chances = [one["probability"] for one in alone]
            assert chances == [one["probability"] for one in entries["predictions"]]
        assert all(one["reasons"] for one in alone)
        assert alone[0]["model"]["version"] == "7"
    log = PredictionLog(f"sqlite:///{tmp_path / 'predictions.db'}")
    rows = list(log.read())
    log.close()
    matrix = [[np.nan if v is None else v for v in row["features"].values()] for row in rows]
    expected = version.bundle.predict(np.array(matrix, dtype=np.float32))
    assert np.abs(expected - [row["probability"] for row in rows]).max() < 1e-6


def test_a_killed_model_server_is_503_until_it_is_back(version: Version, tmp_path: Path) -> None:
    code = copy_code(tmp_path / "code")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with model_server(tmp_path / "models", code, http_port=port, restarts=0) as own:
        deploy(own, "1", version)
        daemon = own.daemon()
        assert daemon is not None
        with api_process(tmp_path, client_of(own).url) as process, client_for(process) as client:
            assert client.post("/predict", json=ACCIDENT).status_code == 200
            os.kill(daemon.pid, signal.SIGKILL)
            begun = time.monotonic()
            answer = client.post("/predict", json=ACCIDENT)
            assert time.monotonic() - begun < 1
            error_of(answer, 503, "model_unavailable")
            assert answer.headers["retry-after"] == "1"
            deploy(own, "2", version)
            assert client_of(own).url == f"http://127.0.0.1:{port}"
            assert client.post("/predict", json=ACCIDENT).json()["model"]["version"] == "2"
