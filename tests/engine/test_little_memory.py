"""A whole training on Dask of data that no process of it may hold.

The command has a limit below the size of the data's tables, and Dask's workers, which it starts, inherit it:
RLIMIT_DATA, of what a process asks of the system beside files that it maps.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial

import pandas as pd
import psutil
import pytest

from accidents.data.partition_files import (
    TablePart,
    part_name,
    read_manifest,
    read_part,
    write_manifest,
    write_part,
)
from accidents.data.quality import QualityReport
from accidents.data.sample_partitions import write_partitions
from accidents.data.tables import Tables
from tests.pipelines.conftest import Project, make_project
from tests.processes import kill_all_of

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="limits what a process may take, as Linux does"),
    pytest.mark.skipif("PLATFORM_TESTS" not in os.environ, reason="takes minutes: make platform"),
]

LIMIT = 1344 * 2**20  # bytes, of each process
YEARS, COPIES, ACCIDENTS = range(2007, 2023), 11, 30_000
# Rows that are learnt twice (`masked`) take memory too: only more of them would be larger than a bag's bins.
SMALLER = {"n_estimators: 60": "n_estimators: 10, bags: 2, masked: 0"}
ON_DASK = "engine: dask\ndask: {local: {workers: 2}}\n"
# Arrow's usual allocator takes a gibibyte of addresses at its start, which would count as if it were used.
# glibc keeps much of what was freed, unless larger pieces go back to the system at once.
ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}


@dataclass(frozen=True)
class Data:
    """Partitions at an address.

    Attributes
    ----------
    size : bytes that their tables are in memory, all together.
    """

    address: str
    accidents: int
    size: int


@dataclass
class Ended:
    """A command that has ended, and the most that each process of it that was Python's took, in bytes."""

    code: int
    said: str
    taken: dict[int, int]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Of each year one partition is drawn, and written again with other ids: to draw all takes long."""
    folder = tmp_path_factory.mktemp("data")
    drawn, address = str(folder / "drawn"), str(folder / "written")
    write_partitions(drawn, YEARS, accidents=ACCIDENTS)
    parts: list[TablePart] = []
    size = 0
    for part in read_manifest(drawn).parts:
        tables = read_part(drawn, part)
        size += COPIES * sum(
            int(frame.memory_usage(index=False, deep=True).sum()) for frame in frames(tables)
        )
        for number in range(COPIES):
            moved = (f.assign(accident_id=f["accident_id"] + number * ACCIDENTS) for f in frames(tables))
            name = part_name(part.year, number)
            parts.append(write_part(address, name, part.year, Tables(*moved), QualityReport()))
    write_manifest(address, parts, synthetic=True)
    return Data(address, sum(part.accidents for part in parts), size)


def frames(tables: Tables) -> list[pd.DataFrame]:
    return [getattr(tables, field.name) for field in fields(Tables)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = make_project(tmp_path_factory.mktemp("project") / "a project")
    params = made.folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    for usual, small in SMALLER.items():
        assert usual in text
        text = text.replace(usual, small)
    params.write_text(text, encoding="utf-8")
    (made.folder / "configs" / "train.dask.yaml").write_text(ON_DASK, encoding="utf-8")
    yield made
    kill_all_of(made.folder)


def train(project: Project, data: Data, *words: str) -> Ended:
    """Train with `LIMIT` on the command and all that it starts."""
    command = (sys.executable, "run.py", "--pipeline", "train", "--source", data.address,
               "--years", f"{YEARS[0]}-{YEARS[-1]}", *words)  # fmt: skip
    said, limits = project.folder / "said.txt", (LIMIT, LIMIT)
    taken: dict[int, int] = {}
    with said.open("w") as output:
        running = psutil.Popen(
            command, cwd=project.folder, env=project.environment | ENVIRONMENT, stdout=output, stderr=output,
            start_new_session=True, preexec_fn=partial(resource.setrlimit, resource.RLIMIT_DATA, limits),
        )  # fmt: skip
        while running.poll() is None:
            for one in [running, *running.children(recursive=True)]:
                with suppress(psutil.Error):
                    assert one.rlimit(psutil.RLIMIT_DATA) == limits
                    taken[one.pid] = max(taken.get(one.pid, 0), one.memory_info().data)
            time.sleep(0.5)
    return Ended(running.wait(), said.read_text(encoding="utf-8"), taken)


def test_a_training_ends_whose_data_no_process_may_hold(project: Project, data: Data) -> None:
    assert data.size > LIMIT
    told = train(project, data, "--config", "configs/train.dask.yaml")
    assert told.code == 0, told.said
    summary = json.loads((project.folder / "reports" / "summary.json").read_text(encoding="utf-8"))
    assert sum(summary["split"]["rows"].values()) == data.accidents
    assert summary["decision"]["promote"], "it was not refitted"
    large = [taken for taken in told.taken.values() if taken > 200 * 2**20]
    assert len(large) >= 3, "the command and two workers: others than these were limited"


def test_the_same_does_not_end_in_one_process(project: Project, data: Data) -> None:
    told = train(project, data)
    assert told.code == 1
    assert "There is not enough memory." in told.said
    assert "`engine: dask`" in told.said
