"""MLServer in a container of our image: the contract of every deployer, and what is a container's own."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stacks.components.mlserver.model import predict
from stacks.components.mlserver.server import ModelServer
from stacks.components.mlserver.server_container import ContainerServer
from stacks.errors import StackError
from stacks.processes import is_alive
from tests.containers.engine import docker, inspect
from tests.model_servers import (
    NAME,
    Version,
    client_of,
    copy_code,
    daemon_of,
    deploy,
    make_version,
    settings,
)
from tests.processes import free_port
from tests.stacks import test_deployer_contract as contract
from tests.stacks.test_deployer_contract import Deployer, with_mlserver
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1200)]
# In their order: one begins with what the one before has left.
OF_ANY_DEPLOYER = {
    name: test
    for name, test in vars(contract).items()
    if name.startswith("test_") and "deployer" in test.__code__.co_varnames[:1]
}
globals().update(OF_ANY_DEPLOYER)
CHANGES = {"memory": "900m", "start_timeout": 120, "load_timeout": 240}


@pytest.fixture(scope="module")
def deployer(
    images: dict[str, str], zenml_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployer]:
    """Of the contract's tests."""
    versions = (
        make_version(tmp_path_factory.mktemp("version"), 3),
        make_version(tmp_path_factory.mktemp("version"), 4),
    )
    found = with_mlserver(versions, tmp_path_factory, image=images["model-server"], **CHANGES)
    yield found
    found.endpoint.stop()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return make_version(tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(images: dict[str, str], folder: Path, one: Version) -> Iterator[ModelServer]:
    """One in a container, which serves version 1."""
    made = ModelServer(settings(folder, folder, image=images["model-server"], **CHANGES))
    deploy(made, "1", one)
    yield made
    made.stop(NAME)
    assert made.daemon() is None


def container_of(server: ModelServer) -> ContainerServer:
    found = server.daemon()
    assert isinstance(found, ContainerServer)
    return found


def assert_serves(server: ModelServer, version: Version) -> None:
    rows = version.rows[version.bundle.features].head(50)
    expected = version.bundle.predict(version.matrix[:50])
    np.testing.assert_allclose(predict(server, NAME, rows), expected, rtol=0, atol=1e-6)


def wait_until_ready(server: ModelServer, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while (daemon := server.daemon()) is None or not server.is_ready(daemon, NAME):
        assert time.monotonic() < end, server.supervision()
        time.sleep(0.5)


def test_it_is_locked_down_and_on_loopback_alone(server: ModelServer, one: Version) -> None:
    host = inspect("container", container_of(server).container)["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["Memory"] == host["MemorySwap"] == 900 * 1024**2
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert {one["HostIp"] for ports in host["PortBindings"].values() for one in ports} == {"127.0.0.1"}
    assert [bind.endswith(":ro") for bind in host["Binds"]] == [True]
    assert_serves(server, one)


def test_whoever_comes_later_finds_it(server: ModelServer, one: Version) -> None:
    later = ModelServer(server.settings)
    assert later.daemon() == server.daemon()
    deploy(later, "1", one)  # nothing is started anew
    assert later.daemon() == server.daemon()
    assert any("MLServer" in line or "mlserver" in line for line in later.way.lines())
    assert container_of(later).container in later.way.how_to_follow()


def test_killed_it_comes_back_with_what_it_served(server: ModelServer, one: Version) -> None:
    name = container_of(server).container
    os.kill(inspect("container", name)["State"]["Pid"], signal.SIGKILL)
    wait_until_ready(server)
    assert_serves(server, one)
    assert "brought back 1 times" in server.supervision()
    # The token is still the deployer's own.
    client_of(server).load(NAME)


def test_what_a_person_stopped_stays_so_and_says_it_until_deployed_again(
    server: ModelServer, one: Version
) -> None:
    docker("stop", container_of(server).container)
    assert server.daemon() is None
    assert "was stopped" in server.supervision()
    deploy(server, "1", one)
    assert_serves(server, one)


def test_from_a_process_to_a_container_in_one_folder(
    images: dict[str, str], tmp_path: Path, one: Version
) -> None:
    code = copy_code(tmp_path / "code")
    before = ModelServer(settings(tmp_path / "server", code, restarts=0))
    deploy(before, "1", one)
    process, ports = daemon_of(before).process(), daemon_of(before).ports
    assert process is not None
    after = ModelServer(before.settings.model_copy(update={"image": images["model-server"], **CHANGES}))
    try:
        deploy(after, "1", one)
        assert container_of(after).ports == ports
        assert not is_alive(process)
        assert_serves(after, one)
    finally:
        after.stop(NAME)


def test_a_taken_port_is_told_with_its_owner(images: dict[str, str], tmp_path: Path, one: Version) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        made = ModelServer(settings(tmp_path, tmp_path, image=images["model-server"], http_port=port))
        with pytest.raises(StackError, match=f"port {port}: .*process {os.getpid()}.*another http_port"):
            deploy(made, "1", one)
    assert made.daemon() is None


def test_no_image_and_no_engine_are_told_in_a_sentence(
    engine: None, tmp_path: Path, one: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ModelServer(settings(tmp_path, tmp_path, image="road-accidents/model-server:nobody-made-it"))
    with pytest.raises(StackError, match=r"no image road-accidents/model-server:nobody-made-it.*make images"):
        deploy(made, "1", one)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(StackError, match=r"does not answer\. Start it"):
        deploy(made, "1", one)
