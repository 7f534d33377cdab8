"""Workers that somebody has started elsewhere: what they need to see, and one that is gone."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest

from accidents.data.dataset import RawData, fetch_raw, versioned
from accidents.data.partition_files import is_partitioned, read_manifest, read_together
from accidents.data.quality import QualityReport
from accidents.data.reading import read_years
from accidents.data.reading.years import read_year
from accidents.data.sample_partitions import write_partitions
from accidents.data.sources import YearFiles, find_years
from accidents.data.sources.sample import write_sample
from accidents.data.sources.settings import DataSettings
from accidents.data.tables import Tables
from accidents.errors import DataError
from accidents.features import build_features
from engine import preparation, reading
from engine.cluster import client_of, workers_of_our_code
from engine.cluster_check import share_folder
from engine.errors import ClusterError
from engine.settings import DaskSettings
from engine.tasks import PartitionError
from steps.scoring.score_partitions import score_partitions
from tests.dask_processes import kill, running, running_cluster, start_scheduler, start_worker
from tests.engine.conftest import ON_DASK
from tests.processes import free_port

pytestmark = ON_DASK
PATIENCE = 240.0  # seconds for workers to start: a busy machine starts them slowly
YEARS = (2018, 2021)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskSettings]:
    pytest.importorskip("distributed")
    place = tmp_path_factory.mktemp("elsewhere")
    with running_cluster(place) as (address, _):
        folder = str(place / "partitions")
        yield DaskSettings(scheduler=address, folder=folder, partition_rows=300, wait_seconds=PATIENCE)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> RawData:
    folder = tmp_path_factory.mktemp("raw")
    write_sample(folder, YEARS, 800)
    return versioned(find_years(folder))


def test_raw_files_are_read_here_a_year_at_a_time_as_workers_may_lack_them(
    raw: RawData, elsewhere: DaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    held: list[weakref.ref[pd.DataFrame]] = []

    def noted(files: YearFiles) -> tuple[Tables, QualityReport]:
        assert [one() for one in held] == [None] * len(held), "an earlier year is still in memory"
        tables, quality = read_year(files)
        read.append(files.year)
        held.append(weakref.ref(tables.users))
        return tables, quality

    monkeypatch.setattr(preparation, "read_year", noted)
    tables = preparation.tables_of(raw, YEARS, elsewhere)
    assert read == [2018, 2021], "in this process"
    whole, quality = read_years(raw.years)
    again, _ = read_together(tables.address, tables.parts)
    for table in ("accidents", "places", "vehicles", "users"):
        pd.testing.assert_frame_equal(getattr(again, table), getattr(whole, table), check_exact=True)
    assert tables.quality.to_json() == quality.to_json()
    assert tables.version == raw.version, "it is the data that `engine: local` reads"

    rows = preparation.build_rows(tables, "dispatch")
    built = build_features(whole, "dispatch")
    pd.testing.assert_frame_equal(reading.rows_at(rows.pieces, None), built, check_exact=True)
    assert preparation.tables_of(raw, YEARS, elsewhere) == tables
    assert read == [2018, 2021], "what is there is not read again"

    given = fetch_raw(DataSettings(source=tables.address, years=YEARS)).partitions
    assert given is not None, "what was read is a --source, too"
    assert (given.parts, given.synthetic) == (tables.parts, raw.synthetic)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DataError("the file is torn"), "the file is torn"),
        (MemoryError(), "this process has too little memory for it: run it on a machine, or in a pod, with"),
    ],
)
def test_a_year_that_cannot_be_read_is_named_and_nothing_looks_finished(
    raw: RawData,
    elsewhere: DaskSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    told: str,
) -> None:
    settings = elsewhere.model_copy(update={"folder": str(tmp_path)})
    tables = preparation.tables_of(raw, YEARS, settings)
    assert is_partitioned(tables.address)
    (tmp_path / tables.address / tables.parts[-1].name / "users.parquet").unlink()

    def torn(_: YearFiles) -> tuple[Tables, QualityReport]:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(preparation, "read_year", torn)
        with pytest.raises(PartitionError, match=f"Partition 2021: {told}"):
            preparation.tables_of(raw, YEARS, settings)
    assert not is_partitioned(tables.address)
    assert preparation.tables_of(raw, YEARS, settings) == tables
    assert read_manifest(tables.address).parts == tables.parts


def test_a_folder_that_workers_do_not_see_is_told_before_anything_is_made(
    raw: RawData, elsewhere: DaskSettings, tmp_path: Path
) -> None:
    unseen = elsewhere.model_copy(update={"folder": "/proc/nothing"})
    told = r"cannot write to /proc/nothing: .*Name a `dask.folder` that every worker and this machine see"
    with pytest.raises(ClusterError, match=told):
        preparation.tables_of(raw, YEARS, unseen)
    address, output = str(tmp_path / "sample"), tmp_path / "scored"
    write_partitions(address, YEARS, accidents=200, processes=1)
    partitions = fetch_raw(DataSettings(source=address, years=YEARS))
    with pytest.raises(ClusterError, match=told):
        preparation.tables_of(partitions, YEARS, unseen)
    with pytest.raises(ClusterError, match=told):
        score_partitions.entrypoint(
            address, partitions.version, DataSettings(), *[cast(Any, None)] * 2, "none", str(output), False,
            unseen,
        )  # fmt: skip
    assert not output.exists()


def test_partitions_that_workers_do_not_see_are_told_with_what_to_do(
    elsewhere: DaskSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_partitions(str(tmp_path / "sample"), YEARS, accidents=200, processes=1)
    monkeypatch.chdir(tmp_path)  # where the worker is not
    address, output = "/proc/self/cwd/sample", tmp_path / "scored"
    partitions = read_manifest(address)
    told = (
        r"cannot read /proc/self/cwd/sample/manifest.json as this process does: .*Copy the folder to where "
        r"every worker and this machine see it, such as s3://bucket/folder, .*--source or --input"
    )
    with pytest.raises(ClusterError, match=told):
        preparation.open_tables(partitions, YEARS, elsewhere)
    with pytest.raises(ClusterError, match=told):
        score_partitions.entrypoint(
            address, partitions.version, DataSettings(), *[cast(Any, None)] * 2, "none", str(output), False,
            elsewhere,
        )  # fmt: skip
    assert not output.exists()


def test_a_worker_that_is_gone_and_still_listed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "2s")  # of the scheduler, to its workers
    port, nobody = free_port(), free_port()
    address = f"tcp://127.0.0.1:{port}"
    # As on a node that is lost: the scheduler lists it, and nobody listens where it was.
    gone = ("--listen-address", "tcp://127.0.0.1:0", "--contact-address", f"tcp://127.0.0.1:{nobody}")
    settings = DaskSettings(scheduler=address, folder=str(tmp_path / "partitions"), wait_seconds=PATIENCE)
    processes = start_scheduler(port, tmp_path), start_worker(address, tmp_path, more=gone)
    with running(*processes) as every:
        hasty = settings.model_copy(update={"wait_seconds": 1})
        with distributed.Client(address, set_as_default=False, timeout=PATIENCE) as client:
            client.wait_for_workers(1, timeout=PATIENCE)
            told = r"None of 1 Dask workers .* within 1 s, such as tcp.*(Timed|no answer)"
            with pytest.raises(ClusterError, match=told):
                client_of(hasty)
            every.append(start_worker(address, tmp_path))
            client.wait_for_workers(2, timeout=PATIENCE)
        assert len(client_of(settings).scheduler_info(n_workers=-1)["workers"]) == 2
        told = r"one of 1 workers wrote to .*; no answer comes from 1 more, such as tcp://"
        assert re.search(told, share_folder(settings))
        kill(every.pop())
        with pytest.raises(ClusterError, match=r"None of \d Dask workers that the scheduler knows answers"):
            workers_of_our_code(client_of(settings), 1)
