"""The model server survives what people and machines do, and never serves what has not proved itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.folder import CANDIDATE, PROGRAM, ServedModel, bundle_digest, write_json
from stacks.components.mlserver.ports import HOST, choose_ports
from stacks.components.mlserver.server import ModelServer
from stacks.components.mlserver.server_process import Daemon
from stacks.components.mlserver.server_runner import server_settings
from stacks.errors import StackError
from stacks.processes import is_alive
from tests.conftest import ROOT
from tests.load import Load
from tests.model_servers import (
    NAME,
    Version,
    broken,
    client_of,
    copy_code,
    daemon_of,
    deploy,
    make_version,
    model_server,
    request,
    settings,
)
from tests.zenml_store import isolated_environment

pytestmark = [pytest.mark.server, pytest.mark.slow]


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
def server(tmp_path_factory: pytest.TempPathFactory, code: Path) -> Iterator[ModelServer]:
    """One for all tests that begin with deploying to it; nobody but they bring it back."""
    with model_server(tmp_path_factory.mktemp("server"), code, stop_timeout=3, restarts=0) as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path, code: Path) -> Iterator[ModelServer]:
    """One that was never started."""
    with model_server(tmp_path / "server", code) as running:
        yield running


def served(server: ModelServer, version: Version) -> str:
    """The version that answers, after a check that its probabilities are those of `version`."""
    answer = client_of(server).infer(NAME, request(version.rows[version.bundle.features]))
    np.testing.assert_allclose(
        answer["outputs"][0]["data"], version.bundle.predict(version.matrix), atol=1e-9
    )
    return str(answer["model_version"])


def process_of(server: ModelServer) -> psutil.Process:
    return psutil.Process(daemon_of(server).pid)


def kill(server: ModelServer) -> None:
    process = process_of(server)
    process.send_signal(signal.SIGKILL)
    psutil.wait_procs([process], 10)


def asked_all_the_time(server: ModelServer, versions: dict[str, Version]) -> Load:
    """Callers that are answered with a version's number, which must give its own probabilities."""
    first = next(iter(versions.values()))
    rows = first.rows[first.bundle.features].head(3)
    matrix = rows.to_numpy(np.float32)
    expected = {number: version.bundle.predict(matrix) for number, version in versions.items()}
    body = json.dumps(request(rows))

    def ask(client: httpx.Client, _caller: int, _number: int) -> str:
        answer = client.post(f"/v2/models/{NAME}/infer", content=body).raise_for_status().json()
        number = str(answer["model_version"])
        assert np.allclose(answer["outputs"][0]["data"], expected[number], atol=1e-9), answer
        return number

    return Load(client_of(server).url, ask, callers=3)


def test_versions_change_under_load_without_a_failed_request(
    server: ModelServer, one: Version, two: Version
) -> None:
    deploy(server, "2", one)
    with asked_all_the_time(server, {"2": one, "3": two, "10": one}) as load:
        for number, version in (("3", two), ("2", one), ("10", one), ("3", two)):  # up, and back down
            deploy(server, number, version)
            assert served(server, version) == number
            time.sleep(0.3)
    assert load.failed == []
    assert min(Counter(load.answers)[number] for number in ("2", "3", "10")) > 20
    assert server.folder.served() == {NAME: ServedModel(NAME, "3", two.bundle.digest)}
    assert [path.name for path in (server.folder.root / "bundles").iterdir()] == [two.bundle.digest]


def test_what_does_not_prove_itself_never_serves(
    server: ModelServer, one: Version, two: Version, tmp_path: Path
) -> None:
    deploy(server, "1", one)
    process, bad = process_of(server), broken(two, tmp_path / "bundle")
    lying = tmp_path / "golden.json"
    golden = json.loads(two.golden.read_text(encoding="utf-8"))
    write_json(lying, golden | {"p_severe": [p + 2e-6 for p in golden["p_severe"]]})
    with asked_all_the_time(server, {"1": one}) as load:
        with pytest.raises(StackError, match=r"trees.txt is altered"):
            deploy(server, "2", bad)
        with pytest.raises(StackError, match="does not give the golden probabilities: off by 2e-06"):
            deploy(server, "2", replace(two, golden=lying))
        with pytest.raises(StackError, match="is no bundle"):
            server.deploy(NAME, "2", tmp_path, two.golden)
    assert load.failed == []
    assert set(load.answers) == {"1"}
    assert process_of(server) == process
    assert server.folder.served()[NAME].version == "1"
    assert client_of(server).metadata(NAME + "-candidate") is None
    deploy(server, "2", two)
    assert served(server, two) == "2"


def test_the_first_version_failing_leaves_nothing(fresh: ModelServer, two: Version, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="altered"):
        deploy(fresh, "1", broken(two, tmp_path / "bundle"))
    assert fresh.folder.served() == {}
    assert client_of(fresh).metadata(NAME) is None
    fresh.stop(NAME)
    assert fresh.daemon() is None


def test_it_outlives_the_shell_that_started_it(tmp_path: Path, code: Path, one: Version) -> None:
    with model_server(tmp_path / "server", code) as server:
        program = (
            "import sys, time; from pathlib import Path\n"
            "from stacks.environment import prepare_environment; prepare_environment(Path.cwd())\n"
            "from stacks.components.mlserver.config import MLServerDeployerConfig as Config\n"
            "from stacks.components.mlserver.server import ModelServer\n"
            "server = ModelServer(Config.model_validate_json(sys.argv[1]))\n"
            "server.deploy(sys.argv[2], '1', Path(sys.argv[3]), Path(sys.argv[4]))\n"
            "print('deployed', flush=True); time.sleep(60)\n"
        )
        arguments = [server.settings.model_dump_json(), NAME, str(one.bundle.folder), str(one.golden)]
        with subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            cwd=ROOT,
            env=isolated_environment(tmp_path / "zenml"),
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as shell:
            assert shell.stdout is not None
            assert shell.stdout.readline() == b"deployed\n"
            os.killpg(shell.pid, signal.SIGHUP)
        assert shell.returncode == -signal.SIGHUP
        assert served(server, one) == "1"


def test_killed_it_is_known_to_be_dead_and_comes_back_with_what_it_served(
    server: ModelServer, one: Version, two: Version
) -> None:
    deploy(server, "1", one)
    server.deploy("other", "5", two.bundle.folder, two.golden)
    before = server.daemon()
    assert before is not None
    kill(server)
    assert server.daemon() is None
    deploy(server, "2", two)
    after = server.daemon()
    assert after is not None
    assert after.ports == before.ports
    assert served(server, two) == "2"
    assert server.is_serving(after, ServedModel("other", "5", two.bundle.digest))
    kill(server)
    server.start(server.folder.served()[NAME])
    assert served(server, two) == "2"
    server.stop("other")
    assert served(server, two) == "2"


def test_after_a_restart_of_the_machine_no_other_process_is_taken_for_it(
    server: ModelServer, one: Version
) -> None:
    deploy(server, "1", one)
    kill(server)
    state = json.loads(server.folder.state.read_text(encoding="utf-8"))
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:  # got the same process id
        write_json(server.folder.state, state | {"pid": other.pid, "started": state["started"] - 5_000})
        assert server.daemon() is None
        server.stop(NAME)
        deploy(server, "1", one)
        assert served(server, one) == "1"
        assert other.poll() is None
        other.kill()


def test_stuck_it_is_ended_and_started_anew(server: ModelServer, one: Version, two: Version) -> None:
    deploy(server, "1", one)
    process_of(server).suspend()
    deploy(server, "2", two)
    assert served(server, two) == "2"


def test_a_taken_port_is_named_with_its_owner_and_the_setting(
    tmp_path: Path, code: Path, one: Version
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            model_server(tmp_path / "server", code, grpc_port=port) as server,
            pytest.raises(StackError, match=rf"port {port}: .*process {os.getpid()}.*another grpc_port"),
        ):
            deploy(server, "1", one)


def test_a_port_that_a_killed_server_still_holds_is_waited_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"http_port": taken.getsockname()[1]}
        with pytest.raises(StackError, match="http_port"):
            choose_ports(ports, patience=0.1)
        threading.Timer(0.3, taken.close).start()
        assert choose_ports(ports, patience=10) == ports


def test_another_port_is_moved_to_once_it_is_free(tmp_path: Path, fresh: ModelServer, one: Version) -> None:
    deploy(fresh, "1", one)
    before = fresh.daemon()
    assert before is not None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        moved = ModelServer(fresh.settings.model_copy(update={"http_port": taken.getsockname()[1]}))
        with pytest.raises(StackError, match="another http_port"):
            deploy(moved, "1", one)
        assert fresh.daemon() == before
        assert served(fresh, one) == "1"
    deploy(moved, "1", one)
    after = fresh.daemon()
    assert after is not None
    assert after.ports == before.ports | {"http_port": moved.settings.http_port}
    assert served(moved, one) == "1"


def test_two_deployments_at_once_take_turns(
    server: ModelServer, one: Version, two: Version, capfd: pytest.CaptureFixture[str]
) -> None:
    faults: list[BaseException] = []

    def run(number: str, version: Version) -> None:
        try:
            deploy(ModelServer(server.settings), number, version)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=pair) for pair in (("1", one), ("2", two))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert "waiting" in capfd.readouterr().err
    last = server.folder.served()[NAME].version
    assert served(server, {"1": one, "2": two}[last]) == last


def test_a_deployment_that_was_killed_half_way_does_no_harm(
    server: ModelServer, one: Version, two: Version
) -> None:
    deploy(server, "1", one)
    half = server.folder.add(NAME, "2", two.bundle.folder, two.golden)
    server.folder.serve(half, as_name=NAME + "-candidate")
    client_of(server).load(NAME + "-candidate")
    server.folder.serve(half)  # ... and was killed before it told the server
    assert served(server, one) == "1"
    deploy(server, "1", one)
    kill(server)
    server.start(server.folder.served()[NAME])
    assert served(server, one) == "1"
    assert client_of(server).metadata(NAME + "-candidate") is None


def test_started_by_an_engine_it_passes_over_what_a_killed_deployment_left(
    server: ModelServer, one: Version
) -> None:
    """A container loads what is in its folder; a version that was to prove itself has no say there."""
    deploy(server, "1", one)
    daemon, folder = daemon_of(server), server.folder
    folder.serve(ServedModel(NAME, "2", "damaged"), as_name=NAME + CANDIDATE)
    kill(server)
    to_terminal = {"class": "logging.StreamHandler"}
    write_json(
        folder.models / "settings.json", server_settings(daemon.ports, HOST, to_terminal, load_at_start=True)
    )
    with subprocess.Popen(
        [daemon.python, "-m", PROGRAM, str(folder.models), str(folder.token)],
        cwd=folder.root,
        env=folder.variables(daemon.code),
    ) as started:
        try:
            client, end = ModelServerClient(daemon.http_port), time.monotonic() + 60
            while not client.is_ready(NAME):
                assert started.poll() is None, "it has ended"
                assert time.monotonic() < end
                time.sleep(0.1)
            assert client.metadata(NAME + CANDIDATE) is None
        finally:
            started.kill()
            folder.remove(NAME + CANDIDATE)


def test_changed_code_starts_it_anew_once_it_has_proved_itself(
    tmp_path: Path, one: Version, two: Version
) -> None:
    code = copy_code(tmp_path / "project")
    runtime = code / "serving" / "runtime" / "predictor.py"
    with model_server(tmp_path / "server", code) as server:
        deploy(server, "1", one)
        server.deploy("other", "5", two.bundle.folder, two.golden)
        first, right = server.daemon(), runtime.read_text(encoding="utf-8")
        assert first is not None
        halved = right.replace(".predict(matrix)", ".predict(matrix) / 2")
        assert halved != right
        for wrong in (right.replace("import asyncio", "import nothing_of_this_name"), halved):
            runtime.write_text(wrong, encoding="utf-8")
            assert served(server, one) == "1"  # what is in the project does not reach it
            with pytest.raises(StackError):
                deploy(server, "2", two)
            assert server.daemon() == first
            assert served(server, one) == "1"
        runtime.write_text(right + "\n# changed\n", encoding="utf-8")
        deploy(server, "2", two)
        second = server.daemon()
        assert second is not None
        assert (second.pid, second.ports) != (first.pid, first.ports)
        assert second.ports == first.ports
        assert served(server, two) == "2"
        assert server.is_serving(second, ServedModel("other", "5", two.bundle.digest))
        assert not (server.folder.root / "proof").exists()
        assert [path.name for path in (server.folder.root / "code").iterdir()] == [second.code]


def test_what_fails_only_in_its_own_place_is_put_back(tmp_path: Path, one: Version, two: Version) -> None:
    code = copy_code(tmp_path / "project")
    runtime = code / "serving" / "runtime" / "predictor.py"
    with model_server(tmp_path / "server", code) as server:
        deploy(server, "1", one)
        text = runtime.read_text(encoding="utf-8")
        runtime.write_text(
            text + "\nif not Path.cwd().match('proof'):\n    raise OSError\n", encoding="utf-8"
        )
        with pytest.raises(StackError, match="could not load"):
            deploy(server, "2", two)
        assert served(server, one) == "1"
        assert server.folder.served() == {NAME: ServedModel(NAME, "1", one.bundle.digest)}


def test_a_trial_that_no_longer_loads_keeps_no_champion_from_serving_on_changed_code(
    tmp_path: Path, one: Version, two: Version
) -> None:
    """Deploying ends the trial anyway; if the deployment fails, the trial is what it was."""
    code = copy_code(tmp_path / "project")
    runtime = code / "serving" / "runtime" / "predictor.py"
    with model_server(tmp_path / "server", code) as server:
        deploy(server, "1", one)
        trial = server.try_out(NAME, "2", two.bundle.folder, two.golden, "challenger", 10)
        shutil.rmtree(server.folder.root / "bundles" / two.bundle.digest)
        text = runtime.read_text(encoding="utf-8")
        elsewhere = "\nif not Path.cwd().match('proof'):\n    raise OSError\n"
        runtime.write_text(text + elsewhere, encoding="utf-8")
        with pytest.raises(StackError, match="could not load") as failure:
            deploy(server, "3", one)
        assert "failed too" not in str(failure.value)
        assert served(server, one) == "1"
        assert server.folder.trials(NAME) == [trial]
        runtime.write_text(text + "\n# changed\n", encoding="utf-8")
        deploy(server, "3", one)
        assert served(server, one) == "3"
        assert server.folder.trials(NAME) == []
        assert list(server.folder.served()) == [NAME]


def test_stopped_it_leaves_no_process_and_no_port(fresh: ModelServer, one: Version) -> None:
    deploy(fresh, "1", one)
    daemon, process = fresh.daemon(), process_of(fresh)
    assert daemon is not None
    assert os.getsid(process.pid) == process.pid
    family = [process, *process.children(recursive=True)]
    fresh.stop(NAME)
    assert not [one for one in family if is_alive(one)]
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if str(fresh.folder.root) in str(p.info["cmdline"])
    ]
    assert choose_ports(daemon.ports) == daemon.ports
    fresh.start(ServedModel(NAME, "1", bundle_digest(one.bundle.folder)))
    assert served(fresh, one) == "1"


def test_the_environment_of_whoever_deploys_does_not_reach_it(
    fresh: ModelServer, one: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLSERVER_MODEL_NAME", "wrong")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("SECRET", "not for a server")
    deploy(fresh, "1", one)
    variables = process_of(fresh).environ()
    assert variables["OMP_NUM_THREADS"] == "1"
    assert not {"MLSERVER_MODEL_NAME", "SECRET"} & variables.keys()
    assert variables["PYTHONPATH"].startswith(str(fresh.folder.root))
    assert served(fresh, one) == "1"


def test_settings_are_strict(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="http_prot"):
        settings(tmp_path, tmp_path, http_prot=1)
    with pytest.raises(ValueError, match="http_port"):
        settings(tmp_path, tmp_path, http_port=70_000)
    with pytest.raises(ValueError, match="`image`, or `lock` and `code`"):
        settings(tmp_path, tmp_path, lock="")


def test_a_process_with_another_start_is_not_the_daemon() -> None:
    mine = psutil.Process()
    right = Daemon(mine.pid, mine.create_time(), 1, 2, 3, "python", "code")
    assert right.process() == mine
    assert replace(right, started=right.started - 60).process() is None
