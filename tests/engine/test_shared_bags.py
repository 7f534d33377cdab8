"""A bag that workers share: trees about as good, from rows that lie apart; and nobody waits for the dead."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accidents.data.dataset import versioned
from accidents.data.sources import find_years
from accidents.data.sources.sample import write_sample
from accidents.errors import SettingsError
from accidents.evaluation.metrics import evaluate
from accidents.features import feature_names
from accidents.lightgbm.booster import Booster
from accidents.training.fit_bags import labelled
from accidents.training.model_settings import ModelSettings
from accidents.training.refit import folds, months_before_the_last
from accidents.training.split import SplitSettings
from accidents.training.tree_inputs import LabelledRows, unseen_inputs
from engine import preparation, reading, shared_bags, training
from engine.cluster import client_of, disconnect_all
from engine.errors import ClusterError
from engine.partitions import PartitionedRows, Piece
from engine.settings import DaskSettings, KubernetesWorkers, LocalWorkers
from engine.shared_bags import grow
from engine.splitting import split_rows
from engine.tasks import LostError
from engine.together import Team
from tests.dask_processes import kill, running_cluster, start_scheduler, start_worker
from tests.engine.conftest import ON_DASK

pytestmark = [*ON_DASK, pytest.mark.timeout(900)]
PATIENCE = 120.0
SMALL = ModelSettings(bags=2, n_estimators=60, n_jobs=1)
# So many trees on so few rows that there is time to end a worker on the way.
LONG = ModelSettings(bags=1, n_estimators=1500, num_leaves=8, n_jobs=1)


@pytest.fixture(scope="module")
def shared(dask: DaskSettings) -> DaskSettings:
    return dask.model_copy(update={"workers_per_bag": 2, "partition_rows": 1000})


@pytest.fixture(scope="module")
def rows(shared: DaskSettings, tmp_path_factory: pytest.TempPathFactory) -> PartitionedRows:
    folder = tmp_path_factory.mktemp("raw")
    write_sample(folder, (2018, 2019, 2021, 2022), 4_000)
    tables = preparation.read_tables(versioned(find_years(folder)), shared)
    return preparation.build_rows(tables, "dispatch")


@pytest.fixture(autouse=True)
def two_workers(request: pytest.FixtureRequest) -> None:
    """A cluster that has not got back who was killed in a test before is no cluster for the next one."""
    if "rows" in request.fixturenames:
        dask: DaskSettings = request.getfixturevalue("dask")
        if len(client_of(dask).nthreads()) < 2:
            disconnect_all()  # the next connection starts both


def alone(rows: PartitionedRows) -> PartitionedRows:
    return rows.model_copy(update={"dask": rows.dask.model_copy(update={"workers_per_bag": 1})})


def pid_of(client: Any, worker: str) -> int:
    return int(client.run(os.getpid, workers=[worker])[worker])


def until_two_grow(dask: DaskSettings) -> list[str]:
    """Wait until two workers grow trees together; none, if they never do."""
    client, end = client_of(dask), time.monotonic() + PATIENCE
    while time.monotonic() < end:
        busy = [who for who, keys in client.processing().items() if "growing" in str(keys)]
        if len(busy) == 2:
            time.sleep(2)  # they have found each other
            return busy
        time.sleep(0.1)
    return []


def kill_one_that_grows(dask: DaskSettings, killed: list[str]) -> threading.Thread:
    """Kill one of the workers that grow trees, once they do."""
    client = client_of(dask)

    def kill_it() -> None:
        for busy in until_two_grow(dask)[:1]:
            os.kill(pid_of(client, busy), signal.SIGKILL)
            killed.append(busy)

    thread = threading.Thread(target=kill_it)
    thread.start()
    return thread


def test_rows_are_dealt_out_evenly_and_each_once() -> None:
    pieces = [_part(number, rows) for number, rows in enumerate((100, 90, 80, 70, 10, 5))]
    shares = shared_bags._dealt(pieces, 2)
    assert sorted(part.seed[1] for share in shares for part in share) == list(range(6))
    assert [sum(part.piece.rows for part in share) for share in shares] == [180, 175]
    assert all(share == sorted(share, key=lambda part: part.seed[1]) for share in shares)


def _part(number: int, rows: int) -> Any:
    piece = Piece(address="", name=str(number), rows=rows)
    return shared_bags._Part(piece, None, (0, number))


def test_a_model_of_shared_bags_is_as_good(rows: PartitionedRows) -> None:
    parts, _ = split_rows(rows, SplitSettings())
    severe = reading.keys_of(parts["test"])["severe"]
    figures = []
    for view in (alone, lambda same: same):
        first, later, test = (view(parts[name]) for name in ("train", "calibration", "test"))
        model = training.train(first, later, SMALL, "dispatch", 7)
        measured = evaluate(severe, reading.predicted(model, test), 0.2, 0, 7)
        figures.append((measured["roc_auc"].value, measured["ece"].value))
    (auc, ece), (auc_shared, ece_shared) = figures
    # Another seed moves the ROC-AUC by 0.002 and the ECE by 0.004, shared or not: other trees are no more.
    assert abs(auc - auc_shared) < 0.006
    assert abs(ece - ece_shared) < 0.01


def test_half_of_the_rows_are_on_each_and_a_worker_that_is_killed_changes_no_tree(
    rows: PartitionedRows, shared: DaskSettings
) -> None:
    whole = grow(rows, LONG, "dispatch", 7, 0)
    learnt = sum(whole.held_by)
    assert 1.4 * len(rows) < learnt < 1.6 * len(rows), "with half of them once more, masked"
    assert max(whole.held_by) < 0.53 * learnt
    killed: list[str] = []
    killer = kill_one_that_grows(shared, killed)
    again = grow(rows, LONG, "dispatch", 7, 0)
    killer.join()
    assert killed
    assert again.trees == whole.trees


def test_a_scheduler_that_is_started_anew_begins_the_bag_again(
    rows: PartitionedRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = grow(rows, LONG, "dispatch", 7, 0)
    with running_cluster(tmp_path, workers=2, nanny=True) as (address, processes):
        there = rows.dask.model_copy(update={"scheduler": address, "local": None, "wait_seconds": PATIENCE})
        client_of(there)
        begun: list[str] = []
        grown = shared_bags._grown

        def counted(*arguments: Any) -> Any:
            begun.append("a bag")
            return grown(*arguments)

        def restart() -> None:
            if not until_two_grow(there):
                return
            for process in processes:
                kill(process)
            processes[:] = [start_scheduler(int(address.rpartition(":")[2]), tmp_path)]
            processes.extend(start_worker(address, tmp_path, nanny=True) for _ in range(2))

        restarter = threading.Thread(target=restart)
        monkeypatch.setattr(shared_bags, "_grown", counted)
        restarter.start()
        try:
            again = grow(rows.model_copy(update={"dask": there}), LONG, "dispatch", 7, 0)
        finally:
            restarter.join()
    assert len(begun) > 1, "the scheduler was lost while the trees grew"
    assert again.trees == whole.trees


def test_where_a_worker_is_lost_each_time_it_is_said_and_the_others_are_free(
    rows: PartitionedRows, shared: DaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_bags, "ATTEMPTS", 1)
    client_of(shared).wait_for_workers(2, timeout=PATIENCE)
    killed: list[str] = []
    killer = kill_one_that_grows(shared, killed)
    with pytest.raises(ClusterError, match=r"Bag 1 was begun 1 times on 2 workers, .*raise their limit"):
        grow(rows, LONG, "dispatch", 7, 0)
    killer.join()
    assert killed
    client = client_of(shared)
    client.wait_for_workers(2, timeout=PATIENCE)
    done = client.gather([client.submit(abs, -at, pure=False) for at in range(4)])
    assert done == [0, 1, 2, 3]


def test_workers_that_do_not_reach_one_another_say_which_ports_to_open(
    rows: PartitionedRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Team.read

    def lie(team: Team, futures: Any, name: str) -> list[Any]:
        answers = read(team, futures, name)
        return ["127.0.0.1:9", *answers[1:]] if name == "machine" else answers

    monkeypatch.setattr(Team, "read", lie)
    words = r"Bag 1: reaching one another, worker tcp://\S+: it does not reach 127.0.0.1:9 .* 12400 to 12499"
    with pytest.raises(ClusterError, match=words):
        grow(rows, SMALL, "dispatch", 7, 0)


def test_a_refit_scores_what_a_shared_bag_has_not_seen(rows: PartitionedRows) -> None:
    age = months_before_the_last(reading.columns_of(rows, ("year", "month")))
    held = folds(age, SMALL, 7) == 1
    grown = grow(rows, SMALL, "dispatch", 7, 1, held)
    frame, names = reading.rows_at(rows.pieces, None), feature_names("dispatch")
    known = LabelledRows.of(*labelled(frame, names), names)
    expected = Booster(grown.trees).score(unseen_inputs(known, held, len(held) / (~held).sum()))
    np.testing.assert_array_equal(grown.scores, expected)
    small = SMALL.model_copy(update={"bags": 1, "n_estimators": 5})
    made = training.refit(rows, small, "dispatch", 7)
    np.testing.assert_array_equal(~np.isnan(made.unseen), folds(age, small, 7) == 0)


def test_too_few_workers_or_partitions_are_told(rows: PartitionedRows, dask: DaskSettings) -> None:
    few = rows.model_copy(update={"dask": dask.model_copy(update={"workers_per_bag": 3})})
    with pytest.raises(ClusterError, match=r"`dask\.workers_per_bag` is 3, and the cluster has 2 workers"):
        Team.of(client_of(dask), few.dask.model_copy(update={"wait_seconds": 1}))
    one = few.model_copy(update={"parts": few.parts[:2]})
    with pytest.raises(SettingsError, match="the training rows are 2 partitions"):
        grow(one, SMALL, "dispatch", 7, 0)


def test_a_worker_without_memory_is_not_waited_for_for_ever() -> None:
    team = Team(None, ["tcp://one"], wait_seconds=0.05)  # type: ignore[arg-type]
    paused = {"status": "paused", "metrics": {"task_counts": {}}}
    team._require_memory("Binning", "tcp://one", paused)
    time.sleep(0.1)
    team._require_memory("Binning", "tcp://one", {**paused, "metrics": {"task_counts": {"executing": 1}}})
    team._require_memory("Binning", "tcp://one", paused)
    time.sleep(0.1)
    with pytest.raises(LostError, match="Binning: worker tcp://one has no memory left"):
        team._require_memory("Binning", "tcp://one", paused)


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="workers_per_bag is 3, of 2 `workers`"):
        DaskSettings(local=LocalWorkers(workers=2), workers_per_bag=3)
    with pytest.raises(ValueError, match="workers_per_bag is 3, of 2 `workers`"):
        DaskSettings(kubernetes=KubernetesWorkers(), folder="s3://bucket/partitions", workers_per_bag=3)
    with pytest.raises(ValueError, match="without encryption"):
        DaskSettings(scheduler="tls://scheduler:8786", workers_per_bag=2)
