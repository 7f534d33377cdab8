"""Whatever a test, also a failed one, has started is gone when the tests are through; who left it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.processes import kill_all_of, processes_of, words_of

ENDS_WITHIN = 5.0  # seconds: who is about to end has not been left


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """End what still works in the tests' folders a little later, and fail for it."""
    yield
    folder = tmp_path_factory.getbasetemp()
    deadline = time.monotonic() + ENDS_WITHIN
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    # Python's own, of whoever of us used `multiprocessing` first: it ends with this process.
    told = [
        words for words in map(words_of, left) if words and "multiprocessing.resource_tracker" not in words
    ]
    kill_all_of(folder)
    assert not told, f"tests left processes running, which were ended: {told}"
