"""A server that does what servers and networks do, for the tests of downloading."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.accidents import hostile_server
from tests.accidents.hasty_download import YEAR
from tests.accidents.hostile_server import (
    HostileServer,
)
from tests.accidents.published import all_of


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy this machine has, 127.0.0.1 is reached directly."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with hostile_server.running() as state:
        state.files = all_of(YEAR)
        yield state
