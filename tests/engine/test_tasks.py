"""What breaks on a cluster: the work ends right, or says which partition failed and why."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from accidents.errors import DataError
from engine import tasks
from engine.cluster import ClusterError, client_of, disconnect_all
from engine.settings import DaskSettings
from engine.tasks import PartitionError, each, reduced

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def note(folder: str, at: int, seconds: float) -> int:
    """Work that tells who began it."""
    with (Path(folder) / f"{at}.begun").open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return at


def begun(folder: Path) -> list[int]:
    return [int(line) for path in folder.glob("*.begun") for line in path.read_text().split()]


def until(happens: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happens():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_work_of_a_worker_that_is_killed_is_done_by_another(dask: DaskSettings, tmp_path: Path) -> None:
    client_of(dask)

    def kill() -> None:
        until(lambda: len(begun(tmp_path)) >= 2)
        os.kill(begun(tmp_path)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    results = each(dask, note, [(f"part {at}", (str(tmp_path), at, 0.5)) for at in range(8)], "Noting")
    killer.join()
    assert results == list(range(8))
    assert len(begun(tmp_path)) > 8, "nothing was lost: the test has killed too late"


def fail(at: int) -> int:
    if at == 3:
        raise DataError("the file is torn")
    return at


def test_a_broken_partition_is_named_with_its_reason(dask: DaskSettings) -> None:
    with pytest.raises(PartitionError, match=r"Partition year=2021/part-3: the file is torn"):
        each(dask, fail, [(f"year=2021/part-{at}", (at,)) for at in range(6)], "Failing")
    with pytest.raises(PartitionError, match=r"Partition year=2021/part-3: the file is torn"):
        reduced(dask, fail, [(f"year=2021/part-{at}", (at,)) for at in range(20)], int.__add__, "Failing")


def take_all_down() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_partition_that_kills_every_worker_is_named(dask: DaskSettings) -> None:
    with pytest.raises(PartitionError, match=r"year=2021/part-0.* workers ended while they had it"):
        each(dask, take_all_down, [("year=2021/part-0", ())], "Killing")
    assert each(dask, fail, [("after", (1,))], "After") == [1]


def slow_first(folder: str) -> int:
    """Slow for the first who does it, which another begins too."""
    mine = Path(folder) / "first"
    try:
        mine.touch(exist_ok=False)
    except FileExistsError:
        return 2
    time.sleep(60)
    return 1


def test_what_is_slow_is_begun_again_elsewhere(
    dask: DaskSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "SLOW_SECONDS", 2.0)
    client_of(dask).wait_for_workers(2, timeout=60)
    started = time.monotonic()
    quick = [(f"quick {at}", (str(tmp_path / "first"),)) for at in range(3)]
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "first").touch()
    results = each(dask, slow_first, [*quick, ("slow", (str(tmp_path / "."),))], "Waiting")
    assert results[:3] == [2, 2, 2]
    assert time.monotonic() - started < 45
    disconnect_all()  # a worker still sleeps


def start(*words: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]], cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL, stderr=(folder / f"{words[0]}.log").open("ab"), start_new_session=True,
    )  # fmt: skip


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_scheduler_that_is_started_anew_gets_what_is_left(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = ("dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    worker = ("dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny",
              "--local-directory", str(tmp_path))  # fmt: skip
    running = [start(*scheduler, folder=tmp_path), start(*worker, folder=tmp_path)]
    settings = DaskSettings(scheduler=address, folder=str(tmp_path), wait_seconds=60)

    def restart() -> None:
        until(lambda: len(begun(tmp_path)) >= 3)
        for process in running:
            kill(process)
        running[:] = [start(*scheduler, folder=tmp_path), start(*worker, folder=tmp_path)]

    restarter = threading.Thread(target=restart)
    restarter.start()
    try:
        named = [(f"part {at}", (str(tmp_path), at, 0.5)) for at in range(8)]
        assert each(settings, note, named, "Noting") == list(range(8))
        assert 8 < len(begun(tmp_path)) < 16, "what was done is not done again"
    finally:
        restarter.join()
        disconnect_all()
        for process in running:
            kill(process)


def test_a_scheduler_that_is_not_there_is_named() -> None:
    pytest.importorskip("distributed")
    settings = DaskSettings(scheduler="tcp://127.0.0.1:9", wait_seconds=1)
    with pytest.raises(ClusterError, match=r"tcp://127.0.0.1:9 within 1 s"):
        client_of(settings)
