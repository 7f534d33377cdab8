"""Whatever a test, also a failed one, has started is gone when the tests are through; who left it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes import kill_all_of, processes_of


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """End what still works in the tests' folders, and fail for it."""
    yield
    folder = tmp_path_factory.getbasetemp()
    left = [" ".join(process.cmdline()) for process in processes_of(folder)]
    kill_all_of(folder)
    assert not left, f"tests left processes running, which were ended: {left}"
