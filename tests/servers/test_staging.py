"""One project on stack `staging`, in order: the matrix, servers that fail in the middle, secrets.

What fails is a training of the other stage's model, of which nothing is registered before it.
"""

from __future__ import annotations

import base64
import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import postgres
from tests.pipelines.conftest import Project
from tests.platform_parts import PASSWORD, S3_KEY, S3_SECRET
from tests.processes import kill_all_of
from tests.servers.conftest import SESSION_TOKEN, Platform, interrupted, tiny_project
from tests.servers.matrix import Found, found_on, found_on_bare

TRAIN = "--pipeline train --stage on_scene --stack staging"
MONITOR = "--pipeline monitor --input 2022 --decide-only --stack staging"
SECRETS = (S3_KEY, S3_SECRET, SESSION_TOKEN, PASSWORD, postgres.PASSWORD)
SAID: list[str] = []  # by every command
REGISTERED = """
import json
from stacks.apply import use_stack
use_stack("staging")
from steps.support import registry_mirror, champion_and_versions
name = champion_and_versions.model_name("on_scene")
client, champion = registry_mirror.active_registry().mlflow_client, champion_and_versions.champion(name)
there = [str(one.version) for one in client.search_model_versions(f"name='{name}'")]
print(json.dumps({
    "zenml": {one.number: registry_mirror.registry_version(one) for one in champion_and_versions._all(name)},
    "champion": champion and champion.number,
    "mlflow": there,
    "alias": {one: str(number) for one, number in client.get_registered_model(name).aliases.items()}
    if there else {},
}))
"""
EXPORTED = """
import yaml
from zenml.client import Client
print(yaml.safe_dump(Client().get_stack("staging").to_yaml()))
"""
NOTHING = {"zenml": {}, "champion": None, "mlflow": [], "alias": {}}


@pytest.fixture(scope="module")
def project(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("staging")
    made = tiny_project(folder / "a project")
    (folder / "tmp").mkdir()
    platform.settle(made)
    made.environment |= {
        "TMPDIR": str(folder / "tmp"),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # seven otherwise, which take four minutes
    }
    typed(made, "database upgrade --stack staging")
    yield made
    kill_all_of(made.folder)


@pytest.fixture(scope="module")
def found(project: Project) -> Found:
    """What the four pipelines gave."""
    made = found_on("staging", project)
    SAID.append(made.said)
    return made


def typed(project: Project, command: str, check: bool = True) -> tuple[int, str]:
    """Exit code of `run.py COMMAND`, and what it says."""
    done = project(*command.split(), check=check)
    SAID.append(done.stdout + done.stderr)
    return done.returncode, SAID[-1]


def registered(project: Project) -> Any:
    """What ZenML and MLflow have of the model."""
    return json.loads(project.python(REGISTERED).splitlines()[-1])


def test_the_stack_is_applied_once_and_each_part_of_it_is_reached(project: Project) -> None:
    typed(project, "stack apply staging")
    assert "Stack staging: nothing has changed." in typed(project, "stack apply staging")[1]
    said = typed(project, "stack check staging")[1]
    for done in ("wrote, read and deleted an object in s3://zenml", "logged and deleted a run", "0 models"):
        assert done in said
    assert "ok    prediction log: postgresql" in said


@pytest.mark.matrix
def test_the_same_commands_give_the_same_model_as_on_stack_bare(
    found: Found, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found.assert_same_as(found_on_bare(tmp_path_factory))


def test_a_prediction_log_that_refuses_the_login_is_told(project: Project, platform: Platform) -> None:
    address = platform.environment["ACCIDENTS_DATABASE_URL"]
    platform.settle(project, ACCIDENTS_DATABASE_URL=address.replace(postgres.PASSWORD, "not-the-password"))
    code, said = typed(project, "stack check staging", check=False)
    platform.settle(project)
    assert code == 1
    assert "wrong prediction log: The prediction log postgresql" in said
    assert "Correct the user or password in the address." in said
    assert "not-the-password" not in said


def test_s3_that_goes_in_the_middle_of_a_step_is_told_and_nothing_is_registered(
    project: Project, platform: Platform
) -> None:
    code, said = interrupted(project, TRAIN, "train model", platform.s3.stop)
    platform.s3.start()
    SAID.append(said)
    assert code == 1
    assert "It came from the artifact store. Nothing answers there. Start the server" in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"S3_BUCKET": "read-only"}, "It came from the artifact store. S3 denies it: this login may not, or"),
        ({"S3_BUCKET": "zenlm"}, "It came from the artifact store. There is no such bucket. Create it"),
        ({"S3_SECRET_KEY": "wrong"}, "It came from the artifact store. S3 refuses the signature. Correct"),
        ({"S3_SESSION_TOKEN": "expired"}, "It came from the artifact store. The session token has expired."),
        ({"MLFLOW_USER": "nobody"}, "It came from the MLflow server. The server refuses the login. Correct"),
        (
            {"MLFLOW_SERVER": "http://127.0.0.1:1"},
            "It came from the MLflow server. Nothing answers there. Start",
        ),
    ],
)
def test_what_is_wrong_in_the_settings_is_told_by_a_training_and_nothing_is_registered(
    project: Project, platform: Platform, wrong: dict[str, str], told: str
) -> None:
    platform.settle(project, **wrong)
    try:
        code, said = typed(project, TRAIN, check=False)
    finally:
        platform.settle(project)
    assert code == 1
    assert told in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING


def test_a_clock_that_is_wrong_is_told_by_a_training(project: Project, platform: Platform) -> None:
    platform.s3.send(signal.SIGUSR2)  # its clock is an hour ahead from now on
    code, said = typed(project, TRAIN, check=False)
    platform.s3.stop()
    platform.s3.start()
    assert code == 1
    assert "It came from the artifact store. The clocks of this machine and of S3's differ" in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING


def test_a_login_that_s3_takes_no_more_in_the_middle_of_a_run_is_told(
    project: Project, platform: Platform
) -> None:
    """By its clock; the first to be refused may be a HEAD request, whose answer does not say why."""
    code, said = interrupted(project, TRAIN, "train model", lambda: platform.s3.send(signal.SIGUSR2))
    platform.s3.stop()
    platform.s3.start()
    SAID.append(said)
    assert code == 1
    assert "It came from the artifact store. " in said
    assert "clock" in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING


def test_mlflow_that_goes_in_the_middle_of_a_training_is_told_and_nothing_is_registered(
    project: Project, platform: Platform
) -> None:
    platform.settle(project, MLFLOW_SERVER=platform.mlflow.url)  # past the relay, which would answer for it
    code, said = interrupted(project, TRAIN, "train model", platform.mlflow.stop)
    SAID.append(said)
    platform.mlflow.start()
    platform.settle(project)
    assert code == 1
    assert "It came from the MLflow server. Nothing answers there. Start the server" in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING


@pytest.mark.parametrize("done_all_the_same", [False, True])
def test_mlflow_that_fails_as_a_version_is_registered_leaves_none_of_it(
    project: Project, platform: Platform, done_all_the_same: bool
) -> None:
    platform.relay.failing, platform.relay.after = "/model-versions/create", done_all_the_same
    code, said = typed(project, TRAIN, check=False)
    platform.relay.failing = ""
    assert code == 1
    assert platform.relay.failed
    assert "It came from the MLflow server. The server fails at what it is asked." in said
    assert "Traceback" not in said
    assert registered(project) == NOTHING


def test_mlflow_that_fails_as_it_is_told_of_the_champion_is_told_by_the_next_training(
    project: Project, platform: Platform
) -> None:
    platform.relay.failing, platform.relay.after = "/registered-models/alias", False
    code, said = typed(project, TRAIN, check=False)
    platform.relay.failing = ""
    assert code == 1
    assert "The model registry could not be told of version 1" in said
    assert "the next `run.py promote` or training tells it again" in said
    assert registered(project)["champion"] == 1
    typed(project, TRAIN)
    found = registered(project)
    (number,) = found["mlflow"]
    assert found == {
        "zenml": {"1": number},
        "champion": 1,
        "mlflow": [number],
        "alias": {"champion": number},
    }


def test_a_database_that_is_restarted_in_the_middle_of_monitoring_is_no_error(
    found: Found, project: Project, platform: Platform
) -> None:
    def restart() -> None:
        platform.postgres.stop()
        platform.postgres.start()

    code, said = interrupted(project, MONITOR, "check window", restart)
    SAID.append(said)
    assert code == 0, said


def test_a_database_that_goes_in_the_middle_of_monitoring_is_told(
    found: Found, project: Project, platform: Platform
) -> None:
    code, said = interrupted(project, MONITOR, "check window", platform.postgres.stop)
    platform.postgres.start()
    SAID.append(said)
    assert code == 1
    assert "The prediction log postgresql://" in said
    assert "Is the server running, and the address right?" in said
    assert "Traceback" not in said


def test_no_secret_is_in_anything_that_was_written(
    found: Found, project: Project, platform: Platform
) -> None:
    written = {
        "what commands said": "\n".join(SAID),
        "zenml stack export": project.python(EXPORTED),
        "ZenML's store": zenml_store(project),
        "MLflow's database": everything_in(platform.runs),
        "the prediction log": everything_in(platform.predictions),
        "PostgreSQL's log": platform.postgres.log.read_text(encoding="utf-8"),
    }
    assert platform.s3.url in written["zenml stack export"]
    assert platform.s3.url in written["ZenML's store"]
    assert "git_commit" in written["MLflow's database"]
    assert not {where: found for where, text in written.items() if (found := secrets_in(text.encode()))}
    folders = [project.folder.parent, platform.s3.folder, platform.mlflow.folder]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "bundle.json" for path in files)
    assert not {
        path: found
        for path in files
        if path not in (database_of(project), project.folder / ".env")
        and (found := secrets_in(path.read_bytes()))
    }


def secrets_in(content: bytes) -> list[str]:
    """Those that are in it, also as ZenML would hide them."""
    return [
        one for one in SECRETS if one.encode() in content or base64.b64encode(one.encode())[:-3] in content
    ]


def database_of(project: Project) -> Path:
    (found,) = (project.folder / ".zenml").rglob("zenml.db")
    return found


def zenml_store(project: Project) -> str:
    """All of it but its table of secrets."""
    file = database_of(project)
    assert file.stat().st_mode & 0o077 == 0, "what holds secrets is for its owner alone"
    with closing(sqlite3.connect(file)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        cells = [
            cell
            for (table,) in tables
            if table != "secret"
            for row in connection.execute(f'SELECT * FROM "{table}"')
            for cell in row
        ]
    return "\n".join(map(readable, cells))


def readable(cell: object) -> str:
    """Text of a cell; ZenML keeps settings as base64."""
    if not isinstance(cell, bytes):
        return str(cell)
    try:
        return base64.b64decode(cell, validate=True).decode()
    except ValueError:
        return cell.decode(errors="replace")


def everything_in(address: str) -> str:
    """Every row of a database of PostgreSQL."""
    with psycopg.connect(address) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [
            row[0]
            for (table,) in tables
            for row in connection.execute(f'SELECT t::text FROM "{table}" t')  # type: ignore[arg-type]
        ]
    return "\n".join(rows)
