"""A pytest plugin: logs of each kind of database. Used by naming it in `pytest_plugins`, not by importing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from accidents.predictions.prediction_log import PredictionLog
from tests.postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests; one that stops it starts it again."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a log can be made: a test with it runs on each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a folder/predictions.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def log(address: str) -> Iterator[PredictionLog]:
    """A log, made and empty."""
    log = PredictionLog(address)
    log.create()
    yield log
    log.close()
