"""Stacks on real servers of loopback: `make platform`. A part that cannot be had here is named, and skips."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipelines.conftest import Project, make_project
from tests.platform_parts import PASSWORD, S3_KEY, S3_SECRET, Server, running_mlflow, running_s3
from tests.postgres import PostgresServer, running_postgres
from tests.relay import Relay, running_relay

# The table that tests/servers/matrix.py prints row by row.
MATRIX_HEAD = "| stack | train | deploy | inference | monitor |\n|---|---:|---:|---:|---:|"
MATRIX_ROW = re.compile(r"^\| `[\w-]+` \|(?: (?:\d+ s|none) \|)+$", re.MULTILINE)
SESSION_TOKEN = "a-session-of-the-tests"  # of a temporary login; the server takes any that has not expired
# The smallest experiment that goes through every step.
TINY = {"accidents_per_year: 4000": "accidents_per_year: 1500", "n_estimators: 60": "n_estimators: 30"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They take minutes, so that they are asked for."""
    for item in (one for one in items if Path(__file__).parent in one.path.parents):
        item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.server)
        item.add_marker(pytest.mark.timeout(1800))
        if "PLATFORM_TESTS" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="takes minutes: make platform"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the matrix: the rows that tests printed, which else nobody sees of one that has passed."""
    reports = [one for ended in terminalreporter.stats.values() for one in ended]
    said = "\n".join(one.capstdout for one in reports if isinstance(one, pytest.TestReport))
    if rows := sorted(set(MATRIX_ROW.findall(said))):
        terminalreporter.section("the same on every stack")
        terminalreporter.write_line("\n".join([MATRIX_HEAD, *rows]))


@dataclass(frozen=True)
class Platform:
    """What stack `staging` runs on; MLflow is asked through a relay, whose requests a test may have fail."""

    s3: Server
    postgres: PostgresServer
    mlflow: Server
    relay: Relay
    runs: str  # address of MLflow's database
    predictions: str  # address of the prediction log's

    @property
    def environment(self) -> dict[str, str]:
        """What a person's shell says of it."""
        return {
            **s3_settings(self.s3),
            "S3_SESSION_TOKEN": SESSION_TOKEN,
            "MLFLOW_SERVER": self.relay.url,
            "MLFLOW_PASSWORD": PASSWORD,
            "ACCIDENTS_DATABASE_URL": self.predictions.replace("postgresql:", "postgresql+psycopg:"),
        }

    def settle(self, project: Project, **other: str) -> None:
        """Have a project say all that in its `.env`, or what is `other`; a changed shell costs a start."""
        write_settings(project, self.environment | other)
        variable = "ACCIDENTS_DATABASE_URL"  # which is the shell's to say
        project.environment[variable] = self.environment[variable]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One for the tests of a module, whose project is the only one on it."""
    folder = tmp_path_factory.mktemp("platform")
    with ExitStack() as held:
        s3 = held.enter_context(running_s3(folder / "s3", "zenml", "mlflow", "raw", "read-only"))
        postgres = held.enter_context(running_postgres())
        runs, predictions = postgres.new_database(), postgres.new_database()
        mlflow = held.enter_context(running_mlflow(folder / "mlflow", runs, s3, "mlflow"))
        relay = held.enter_context(running_relay(mlflow.url))
        yield Platform(s3, postgres, mlflow, relay, runs, predictions)


def s3_settings(s3: Server) -> dict[str, str]:
    """Where it is, and its login."""
    return {"S3_ENDPOINT": s3.url, "S3_ACCESS_KEY": S3_KEY, "S3_SECRET_KEY": S3_SECRET}


def write_settings(project: Project, settings: Mapping[str, str], quote: str = "'") -> None:
    """Write a project's `.env`."""
    file, lines = project.folder / ".env", settings.items()
    file.write_text("".join(f"{name}={quote}{value}{quote}\n" for name, value in lines), encoding="utf-8")
    file.chmod(0o600)


def tiny_project(folder: Path, trees: int = 30) -> Project:
    """A copy of the project with the smallest experiment; other `trees` make another version."""
    project = make_project(folder)
    params = folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    for usual, tiny in TINY.items():
        assert usual in text
        text = text.replace(usual, tiny)
    text = text.replace("n_estimators: 30", f"n_estimators: {trees}")
    params.write_text(text, encoding="utf-8")
    return project


def interrupted(project: Project, command: str, step: str, event: Callable[[], None]) -> tuple[int, str]:
    """Exit code of `run.py COMMAND`, and what it says, where `event` happens as it begins this step."""
    process = project.start(*command.split())
    said, happened = [], False
    assert process.stdout
    for line in process.stdout:
        said.append(line)
        if not happened and step in line:
            event()
            happened = True
    process.communicate(60)  # closes what was read
    assert happened, "".join(said)
    return process.wait(60), "".join(said)
