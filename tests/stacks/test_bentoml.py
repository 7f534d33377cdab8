"""Bentos come into their folder whole or not at all, and what serves them is what the lock says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from circus.sockets import CircusSocket

from stacks.components.bentoml.bento_stores import BentoHome, HeldVersion
from stacks.components.bentoml.installed import require_installed
from stacks.components.bentoml.servers import port_for
from stacks.components.bentoml.shared_socket import share_ports
from stacks.components.services_here import services_here
from stacks.endpoints import DeploymentError
from stacks.endpoints import bentoml as endpoint
from stacks.errors import StackError
from stacks.flavors import require_integration
from tests.conftest import ROOT
from tests.model_servers import NAME, make_version


def test_what_the_lock_has_is_installed() -> None:
    require_installed(ROOT / "requirements" / "bento.txt")


@pytest.mark.parametrize(
    ("locked", "said"),
    [
        ("no-such-package==1.0", "no-such-package 1.0 is not installed"),
        ("numpy==0.1 \\", f"numpy is {version('numpy')} and not 0.1"),
    ],
)
def test_what_is_not_as_the_lock_says_is_named_with_the_remedy(
    tmp_path: Path, locked: str, said: str
) -> None:
    lock = tmp_path / "bento.txt"
    elsewhere = "pywin32==1 ; sys_platform == 'win32'"
    lock.write_text(f"# made by uv\n{elsewhere}\n{locked}\n    --hash=sha256:0\n    # via bentoml\n")
    with pytest.raises(StackError, match="make bento") as told:
        require_installed(lock)
    assert said in str(told.value)
    assert "pywin32" not in str(told.value)


def test_a_lock_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"bento\.txt cannot be read"):
        require_installed(tmp_path / "bento.txt")


class FlavorWithoutItsPackage:
    name = "bentoml"

    @property
    def implementation_class(self) -> type:
        raise ModuleNotFoundError("No module named 'bentoml'")


def test_a_stack_says_how_bentoml_is_installed() -> None:
    with pytest.raises(StackError, match=r"No module named 'bentoml'.*make bento"):
        require_integration(cast("Any", FlavorWithoutItsPackage()), "model_deployer of local-bento")


@pytest.mark.parametrize("told", ["", "0", "abc", "70000"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("BENTOML_PORT", told)
    with pytest.raises(StackError, match="BENTOML_PORT"):
        port_for([])


def test_on_a_shared_server_nobody_serves_in_the_folder_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who applies a stack fills in where ZenML's own deployer keeps its servers."""
    monkeypatch.setenv("ZENML_CUSTOM_SOURCE_ROOT", str(tmp_path / "ben"))
    monkeypatch.setattr("zenml.client.Client", lambda: None)
    monkeypatch.setattr(endpoint, "is_embedded", lambda _: False)
    anns, bens = (BentoHome(tmp_path / name / ".serving" / "bento", ROOT) for name in ("ann", "ben"))
    endpoint._require_own(bens)
    with pytest.raises(DeploymentError, match="applied from another folder"):
        endpoint._require_own(anns)
    places = {"ann": anns.folder / "1", "ben": bens.folder / "2", "begun": ""}
    services: Any = [SimpleNamespace(name=name, status=SimpleNamespace(runtime_path=str(place)))
                     for name, place in places.items()]  # fmt: skip
    assert [one.name for one in services_here(services, str(bens.folder))] == ["ben", "begun"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere both get connections")
def test_of_two_that_listen_the_newer_gets_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in ("bind", "listen"):  # put back afterwards
        monkeypatch.setattr(CircusSocket, method, getattr(CircusSocket, method))
    share_ports()
    with listening(0) as old, ExitStack() as clients:
        connect(old.port, clients)
        assert accepted(old) == CONNECTIONS
        with listening(old.port) as new:
            connect(old.port, clients)
            assert (accepted(old), accepted(new)) == (0, CONNECTIONS)
            old.close()
            connect(new.port, clients)
            assert accepted(new) == CONNECTIONS, "also alone"


CONNECTIONS = 40  # given out at random, some would come to the older one


@contextmanager
def listening(port: int) -> Iterator[CircusSocket]:
    """A socket of an arbiter's at which a worker listens."""
    with CircusSocket(host="127.0.0.1", port=port) as bound:
        bound.bind_and_listen()
        socket.socket.listen(bound)
        time.sleep(0.2)  # until the arbiter has seen it
        yield bound


def connect(port: int, clients: ExitStack) -> None:
    for _ in range(CONNECTIONS):
        clients.enter_context(socket.create_connection(("127.0.0.1", port)))


def accepted(listener: CircusSocket) -> int:
    """How many connections wait at it."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


@pytest.mark.slow
def test_an_interrupted_build_leaves_no_bento_and_the_next_one_removes_the_rest(tmp_path: Path) -> None:
    bundle = make_version(tmp_path / "version", 3).bundle
    home = BentoHome(tmp_path / "home", ROOT)
    home.folder.mkdir()
    interrupt_build(home, bundle.folder, bundle.digest)
    assert bentos(home) == []
    assert list(home.folder.glob("building-*")), "it was interrupted in the middle"
    tag = home.build(NAME, HeldVersion("7", bundle.digest, bundle.folder))
    other = home.build(NAME, HeldVersion("8", bundle.digest, bundle.folder))
    assert home.trials(tag) == []
    assert bentos(home) == sorted([str(tag), str(other)])
    home.keep_only({tag})
    assert bentos(home) == [str(tag)]
    assert not list(home.folder.glob("building-*"))
    home.keep_only(set())
    assert bentos(home) == []


@pytest.mark.slow
def test_what_cannot_be_built_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    bundle = make_version(tmp_path / "version", 3).bundle
    home = BentoHome(tmp_path / "home", tmp_path)
    home.folder.mkdir()
    (tmp_path / "bentofile.yaml").write_text("service: nowhere:Service\n", encoding="utf-8")
    with pytest.raises(StackError, match=r"could not be built: .*nowhere"):
        home.build(NAME, HeldVersion("7", bundle.digest, bundle.folder))
    assert list(home.folder.iterdir()) == []


def interrupt_build(home: BentoHome, bundle: Path, digest: str) -> None:
    """End a build with SIGKILL, its children too, once BentoML's store has something of the Bento."""
    words = [str(home.folder), str(ROOT), NAME, digest, str(bundle)]
    code = (
        "import sys; from pathlib import Path;"
        "from stacks.components.bentoml.bento_stores import BentoHome, HeldVersion;"
        "home, root, name, digest, bundle = sys.argv[1:];"
        "BentoHome(Path(home), Path(root)).build(name, HeldVersion('7', digest, Path(bundle)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, *words], cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(home.folder.glob("building-*/bentos/*/*")):
        assert process.poll() is None, "it has ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def bentos(home: BentoHome) -> list[str]:
    """What BentoML's own command lists."""
    environment = {**os.environ, "BENTOML_HOME": str(home.folder), "BENTOML_DO_NOT_TRACK": "True"}
    words = [sys.executable, "-m", "bentoml", "list", "-o", "json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return sorted(found["tag"] for found in json.loads(done.stdout))
