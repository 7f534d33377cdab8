"""Several processes of the API: where they listen, and that none is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.api.processes import listening
from serving.api.settings import Settings
from tests.conftest import ROOT
from tests.serving.api_process import environment


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6_is_of_ipv6_only() -> None:
    """Else the whole of IPv4 would be one caller, as ::ffff:0:0/64."""
    with listening(Settings(host="::", port=0), 8) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
        socket.create_connection(("::1", port), timeout=2).close()


def test_a_process_ends_whose_parent_was_gone_before_it_looked() -> None:
    said = "import sys, time; from serving.api.processes import end_with_parent as end; end(int(sys.argv[1]))"
    gone = os.getpid() + 1  # any other than the process that starts it
    ended = subprocess.run([sys.executable, "-c", f"{said}; time.sleep(20)", str(gone)], check=False)
    assert ended.returncode == -signal.SIGTERM


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
