"""Downloads that are killed, and two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from accidents.errors import SourceError
from tests.accidents.hasty_download import FIRST, NAME, asked_bytes, get, is_complete
from tests.accidents.hostile_server import (
    HostileServer,
    stall_after,
)


def in_another_process(server: HostileServer, folder: Path) -> subprocess.Popen[bytes]:
    code = (
        "import sys, pathlib\n"
        "from accidents.data.sources.datagouv_download import download\n"
        "download(pathlib.Path(sys.argv[1]), [2018], base_url=sys.argv[2])\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), server.address],
        cwd=Path(__file__).parents[3],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
    )


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("did not happen within 30 s")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_killed_download_goes_on_where_it_was(
    server: HostileServer, tmp_path: Path, how: signal.Signals
) -> None:
    server.script[FIRST] = [stall_after(9000)]
    part = tmp_path / "2018" / f"{NAME}.part"
    with in_another_process(server, tmp_path) as process:
        wait_for(lambda: part.exists() and part.stat().st_size == 9000)
        process.send_signal(how)
        assert process.wait(10) != 0
    assert {path.name for path in part.parent.iterdir()} == {part.name, part.name + ".json"}
    get(server, tmp_path)
    assert asked_bytes(server) == [(None, 200), ("bytes=9000-", 206)]
    assert is_complete(server, tmp_path)


def test_two_downloads_into_one_folder(server: HostileServer, tmp_path: Path) -> None:
    server.script[FIRST] = [stall_after(9000)]
    part = tmp_path / "2018" / f"{NAME}.part"
    with in_another_process(server, tmp_path) as process:
        wait_for(lambda: part.exists() and part.stat().st_size == 9000)
        with pytest.raises(SourceError, match=r"another download works in this folder.*Let it end"):
            get(server, tmp_path)
        server.let_go.set()
        assert process.wait(20) == 0
    assert is_complete(server, tmp_path)
