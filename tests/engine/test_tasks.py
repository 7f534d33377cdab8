"""What breaks on a cluster: the work ends right, or says which partition failed and why."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accidents import progress
from accidents.errors import DataError, SettingsError
from engine import cluster, cluster_check, report, tasks
from engine.cluster import client_of, disconnect_all
from engine.errors import ClusterError
from engine.settings import DaskSettings, LocalWorkers
from engine.tasks import PartitionError, each, reduced
from tests.dask_processes import ROOT, kill, running_cluster, start_scheduler, start_worker
from tests.engine.conftest import ON_DASK

pytestmark = ON_DASK
PATIENCE = 240.0  # seconds for what comes at its own time: a busy machine starts workers slowly


def note(folder: str, at: int, seconds: float) -> int:
    """Work that tells who began it."""
    with (Path(folder) / f"{at}.begun").open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return at


def begun(folder: Path, at: int | str = "*") -> list[int]:
    """Who began a piece, or any."""
    return [int(line) for path in folder.glob(f"{at}.begun") for line in path.read_text().split()]


def until(happens: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not happens():
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
    told = r"Killing, bag 1: . workers ended while they had it.*, or raise `dask.workers_per_bag`; their logs"
    with pytest.raises(PartitionError, match=told):
        each(dask, take_all_down, [("bag 1", ())], "Killing", saves_memory="raise `dask.workers_per_bag`")
    assert each(dask, fail, [("after", (1,))], "After") == [1]
    disconnect_all()  # a worker that is killed while it starts is not started again


def test_where_no_worker_is_left_others_are_started(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    settings = DaskSettings(local=LocalWorkers(workers=1), folder=str(tmp_path), wait_seconds=2)
    client = client_of(settings)
    client.cluster.scale(0)
    until(lambda: not client.nthreads())
    try:
        assert each(settings, fail, [("after", (1,))], "After") == [1]
    finally:
        disconnect_all()


def test_how_far_it_has_come_is_shown(
    dask: DaskSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    monkeypatch.delenv("FORCE_COLOR", raising=False)  # with it there would be a bar
    each(dask, divmod, [("a", (7, 2)), ("b", (9, 2))], "Dividing")
    assert capsys.readouterr().err.splitlines() == ["Dividing: 1/2", "Dividing: 2/2"]


def test_following_costs_no_processor(dask: DaskSettings) -> None:
    client_of(dask).wait_for_workers(2, timeout=PATIENCE)
    since, used = time.monotonic(), time.process_time()
    each(dask, time.sleep, [(f"part {at}", (3.0,)) for at in range(2)], "Sleeping")
    share = (time.process_time() - used) / (time.monotonic() - since)
    assert share < 0.3, "the loop asks without a pause"


def duration_known(what: str, dask_scheduler: Any) -> float:
    return float(dask_scheduler.task_prefixes[what].duration_average)


def test_dask_learns_how_long_such_work_takes(dask: DaskSettings, tmp_path: Path) -> None:
    """Of what it knows nothing of, an idle worker takes over none that waits at another."""
    each(dask, note, [(f"part {at}", (str(tmp_path), at, 0.2)) for at in range(4)], "Sharing")
    assert client_of(dask).run_on_scheduler(duration_known, "Sharing") >= 0.2


def slow_first(folder: str, at: int) -> int:
    """Work of which piece 3 does not end for the first who does it before all is over."""
    who = note(folder, at, 0)
    if at == 3 and len(begun(Path(folder), 3)) == 1:
        until((Path(folder) / "over").exists)
        return -1
    return who


def test_what_is_slow_is_begun_again_elsewhere(
    dask: DaskSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "SLOW_SECONDS", 0.5)
    client_of(dask).wait_for_workers(2, timeout=PATIENCE)
    try:
        named = [(f"part {at}", (str(tmp_path), at)) for at in range(4)]
        assert each(dask, slow_first, named, "Waiting") == [0, 1, 2, 3]
        assert len(set(begun(tmp_path, 3))) == 2, "by two workers"
    finally:
        (tmp_path / "over").touch()


@pytest.fixture
def one_of_two_hangs(tmp_path: Path) -> Iterator[DaskSettings]:
    """A cluster elsewhere, of whose two workers one is stopped before anybody is asked."""
    pytest.importorskip("distributed")
    with running_cluster(tmp_path, workers=2) as (address, processes):
        settings = DaskSettings(scheduler=address, folder=str(tmp_path / "seen"), wait_seconds=PATIENCE)
        client_of(settings).wait_for_workers(2, timeout=PATIENCE)
        disconnect_all()
        os.killpg(processes[-1].pid, signal.SIGSTOP)
        yield settings


def test_a_worker_that_hangs_keeps_no_run_from_its_end(
    one_of_two_hangs: DaskSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 5.0)
    monkeypatch.setattr(tasks, "SLOW_SECONDS", 0.5)
    named = [(f"part {at}", (str(tmp_path), at, 0.1)) for at in range(6)]
    assert each(one_of_two_hangs, note, named, "Noting") == list(range(6))
    assert len(set(begun(tmp_path))) == 1, "both worked: none hangs"
    for check in (cluster_check.reach, cluster_check.share_folder):
        told = check(one_of_two_hangs)
        assert re.search(r" 1 workers .*; no answer comes from 1 more, such as tcp://", told), told
    monkeypatch.setattr(report, "PATIENCE", 2.0)
    pages: list[Path] = []
    with report.reported(one_of_two_hangs, lambda folder, _: pages.append(folder)):
        each(one_of_two_hangs, note, named, "Again")  # of one piece alone nobody knows that it is slow
    assert pages == []
    assert "There is no performance report of Dask: its workers did not answer within 2 s" in caplog.text


@dataclass(frozen=True)
class Twin:
    """A future, as far as it is asked here; `content` is a result or why it failed."""

    content: Any

    @property
    def status(self) -> str:
        return "error" if isinstance(self.content, Exception) else "finished"

    def result(self) -> Any:
        if isinstance(self.content, Exception):
            raise self.content
        return self.content, 0.1


def test_a_twin_that_fails_leaves_the_other_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, slow, worse = Twin(PartitionError("no room")), Twin(7), Twin(PartitionError("gone too"))

    def ended(*futures: Twin) -> list[tuple[int, int]]:
        client: Any = SimpleNamespace(status="closed")
        following: Any = tasks._Following(client, fail, [("part", (0,))], "", 1)
        following.pending.update(dict.fromkeys(futures, 0))
        turns = ([future] for future in futures)
        monkeypatch.setattr(following, "_finished", lambda: next(turns))
        return list(following.results([]))

    assert ended(broken, slow) == [(0, 7)]
    with pytest.raises(PartitionError, match="gone too"):
        ended(broken, worse)


def test_a_connection_that_breaks_while_it_is_asked_is_lost(
    dask: DaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, let_go = [], []

    def finished(following: tasks._Following[int]) -> list[object]:
        asked.append(following)
        if len(asked) == 1:
            raise OSError("the scheduler has closed the connection")
        return list(following._looked_at())

    monkeypatch.setattr(tasks._Following, "_finished", finished)
    monkeypatch.setattr(tasks, "disconnect", let_go.append)
    assert each(dask, fail, [("part", (1,))], "Losing") == [1]
    assert let_go == [dask]


def wait_after_three(folder: str, at: int) -> int:
    """Work that after three pieces does not end before the scheduler was started anew."""
    note(folder, at, 0)
    if len(begun(Path(folder))) > 3:
        until((Path(folder) / "anew").exists)
    return at


@pytest.mark.timeout(3 * 240)
def test_a_scheduler_that_is_started_anew_gets_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    with running_cluster(tmp_path) as (address, processes):
        settings = DaskSettings(scheduler=address, folder=str(tmp_path), wait_seconds=PATIENCE)
        heard = []

        def listen(results: Iterator[tuple[int, int]], *_: object) -> Iterator[tuple[int, int]]:
            for result in results:
                heard.append(result)
                yield result

        def restart() -> None:
            until(lambda: len(heard) == 3 and len(begun(tmp_path)) == 4)
            for process in processes:
                kill(process)
            port = int(address.rpartition(":")[2])
            processes[:] = [start_scheduler(port, tmp_path), start_worker(address, tmp_path)]
            (tmp_path / "anew").touch()

        monkeypatch.setattr(tasks, "track", listen)
        restarter = threading.Thread(target=restart)
        restarter.start()
        try:
            named = [(f"part {at}", (str(tmp_path), at)) for at in range(8)]
            assert each(settings, wait_after_three, named, "Noting") == list(range(8))
        finally:
            restarter.join()
    twice = [at for at in range(8) if len(begun(tmp_path, at)) == 2]
    assert len(begun(tmp_path)) == 9, "what was done is not done again"
    assert len(twice) == 1
    assert twice[0] not in [at for at, _ in heard[:3]]


def test_workers_that_lack_our_code_are_named(
    dask: DaskSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(dask)  # whose workers are there before what they cannot import
    (tmp_path / "only_here.py").write_text("def version():\n    return 'ours'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cluster, "running_version", import_module("only_here").version)
    told = r"run other code than this \(ours\).*No module named 'only_here'"
    with pytest.raises(ClusterError, match=told):
        cluster.workers_of_our_code(client, 1)
    with pytest.raises(ClusterError, match=told):  # they have come since the connection was made
        cluster_check.reach(dask)


def test_a_worker_of_other_code_that_comes_during_a_run_is_told_with_what_to_do(tmp_path: Path) -> None:
    """One that cannot import what it gets ends, and counts as a worker that was killed."""
    pytest.importorskip("distributed")
    theirs = tmp_path / "theirs"
    for package in ("accidents", "engine"):
        shutil.copytree(ROOT / package, theirs / package)
    source = theirs / "engine" / "tasks.py"
    source.write_text(f"{source.read_text()}\n\ndef _do(name, work):\n    return work()\n")
    with running_cluster(tmp_path) as (address, processes):
        settings = DaskSettings(scheduler=address, folder=str(tmp_path / "seen"), wait_seconds=PATIENCE)
        client = client_of(settings)
        kill(processes.pop())
        until(lambda: not client.nthreads())
        processes.append(start_worker(address, tmp_path, folder=theirs))
        told = r"Dividing, year=2021: .*\(TypeError: _do\(\) takes.*from the same image"
        with pytest.raises(PartitionError, match=told):
            each(settings, divmod, [("year=2021", (7, 2))], "Dividing")


def cannot_be_read() -> str:
    raise PermissionError(13, "Permission denied", "accidents/params.py")


def test_a_worker_that_cannot_read_our_code_is_named_and_not_taken_for_lost(
    dask: DaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "running_version", cannot_be_read)
    with pytest.raises(PartitionError, match=r"Partition year=2021: PermissionError.*accidents/params.py"):
        tasks._do("year=2021", fail, (1,), "ours", "")
    answer = client_of(dask).run(cluster._done_or_why_not, partial(open, "/nowhere"))
    assert {words[:17] for words in answer.values()} == {"FileNotFoundError"}


def test_a_scheduler_that_ends_the_first_connection_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    answers = iter([OSError("closed"), "a connection"])

    def connect(*_: object, **__: object) -> object:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def identity(*_: object) -> None:
        """It answers."""

    monkeypatch.setattr(cluster, "_identity", identity)
    monkeypatch.setattr(distributed, "Client", connect)
    settings = DaskSettings(scheduler="tcp://127.0.0.1:9", wait_seconds=30)
    assert cluster._client_of_scheduler(settings) == "a connection"


def test_what_is_no_scheduler_is_named_and_not_waited_for_for_ever() -> None:
    pytest.importorskip("distributed")
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it takes connections, and says nothing
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ClusterError, match=rf"{address} within 1 s .*not its dashboard's"):
            client_of(DaskSettings(scheduler=address, wait_seconds=1))


def test_a_scheduler_that_is_not_there_is_named() -> None:
    pytest.importorskip("distributed")
    settings = DaskSettings(scheduler="tcp://127.0.0.1:9", wait_seconds=1)
    with pytest.raises(ClusterError, match=r"tcp://127.0.0.1:9 within 1 s"):
        client_of(settings)
    with pytest.raises(SettingsError, match=r"tls://127.0.0.1:9 needs certificates"):
        client_of(settings.model_copy(update={"scheduler": "tls://127.0.0.1:9"}))
