"""Several processes of the API: where they listen, and that none is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving.api import processes as api_processes
from serving.api.processes import METRICS_FOLDER, listening
from serving.api.settings import ApiSettings
from tests.conftest import ROOT
from tests.serving.api_process import environment


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6_is_of_ipv6_only() -> None:
    """Else the whole of IPv4 would be one caller, as ::ffff:0:0/64."""
    with listening(ApiSettings(host="::", port=0), 8) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
        socket.create_connection(("::1", port), timeout=2).close()


def test_a_process_ends_whose_parent_was_gone_before_it_looked() -> None:
    said = "import sys, time; from serving.api.processes import end_with_parent as end; end(int(sys.argv[1]))"
    gone = os.getpid() + 1  # any other than the process that starts it
    ended = subprocess.run([sys.executable, "-c", f"{said}; time.sleep(20)", str(gone)], check=False)
    assert ended.returncode == -signal.SIGTERM


ONE_STAYS = """
import os, sys, time
try:
    os.close(os.open("first", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    open("others", "a").write("x")
    sys.exit(3)
while not os.path.exists("end"):
    time.sleep(0.05)
"""


def test_one_that_serves_is_not_stopped_because_others_do_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_processes, "_SHORT", 0.3)
    words = [sys.executable, "-c", ONE_STAYS]
    group = api_processes._Group(2, words, cwd=tmp_path, env={**os.environ, METRICS_FOLDER: str(tmp_path)})
    others = tmp_path / "others"
    with ThreadPoolExecutor() as thread, ExitStack() as end:
        end.callback(group.stop)
        running = thread.submit(group.run)
        while not others.exists() or len(others.read_bytes()) < 2:
            time.sleep(0.05)
        started = time.monotonic()
        while len(others.read_bytes()) < 5:
            assert not running.done()
            time.sleep(0.05)
        assert time.monotonic() - started > 1.2, "each time after a longer pause"
        (tmp_path / "end").touch()
        assert running.result(60) == 1, "where none stays up, it ends"


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_ends_it_without_a_trace(tmp_path: Path, processes: str) -> None:
    started = environment(tmp_path, "http://127.0.0.1:1", processes=processes)
    with (tmp_path / "log").open("w+b") as log:
        api = subprocess.Popen(
            [sys.executable, "-m", "serving.api"],
            cwd=ROOT, env=started, stdout=log, stderr=log, process_group=0,
        )  # fmt: skip
        while b"running on" not in (tmp_path / "log").read_bytes():
            assert api.poll() is None
            time.sleep(0.1)
        os.killpg(api.pid, signal.SIGINT)  # as a terminal does
        assert api.wait(30) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
