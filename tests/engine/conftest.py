"""A cluster of two workers on this machine, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cluster import client_of, disconnect_all
from engine.settings import DaskSettings, LocalWorkers

# For the modules, as `pytestmark`: a mark of this file is none of theirs.
ON_DASK = [
    pytest.mark.slow,
    # Dask's own, when a worker is killed or its scheduler ends: connections that nobody closed.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # On a busy disk; as an error it keeps the cluster from starting.
    pytest.mark.filterwarnings("ignore:Creating scratch directories"),
]


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskSettings]:
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("partitions")
    settings = DaskSettings(
        local=LocalWorkers(workers=2, memory_limit="2GiB"), folder=str(folder), partition_rows=500
    )
    client_of(settings)
    yield settings
    disconnect_all()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path
