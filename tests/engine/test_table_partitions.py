"""Partitions of tables that are gone, or hold an accident twice: told, before a cluster is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from accidents.data.partition_files import require_once
from accidents.data.sample_partitions import write_partitions
from accidents.errors import DataError, SourceError
from engine.settings import DaskSettings
from engine.table_partitions import PartitionedTables
from steps.data.build_features import build_features
from steps.data.report_quality import report_quality


@pytest.mark.parametrize(
    "step",
    [lambda tables: build_features.entrypoint(tables, "dispatch"), report_quality.entrypoint],
    ids=["build_features", "report_quality"],
)
def test_tables_that_are_gone_are_told_with_the_remedy(
    tmp_path: Path, step: Callable[[PartitionedTables], object]
) -> None:
    parts = write_partitions(str(tmp_path), (2021, 2022), accidents=100, processes=1)
    dask = DaskSettings(scheduler="tcp://127.0.0.1:9", folder=str(tmp_path), wait_seconds=1)
    tables = PartitionedTables(address=str(tmp_path), version="0", parts=tuple(parts), dask=dask)
    tables.require()
    for file in (tmp_path / parts[1].name).iterdir():
        file.unlink()
    with pytest.raises(SourceError, match=r"1 of 2 partitions are gone, such as year=2022.*--no-cache"):
        step(tables)


def test_accidents_in_several_partitions_are_counted_and_not_how_often_they_are_there() -> None:
    parts = [np.array(ids, dtype=np.int64) for ids in ([7, 8, 9], [7, 9], [7])]
    with pytest.raises(DataError, match="tables: accident 7 is there more than once, and 1 others"):
        require_once("tables", parts)
    require_once("tables", parts[:1])
