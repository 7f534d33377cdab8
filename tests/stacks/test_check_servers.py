"""`stack check` against real S3 and MLflow servers, and answers of a tracker: what is wrong, what to do."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.compat
import pytest
from s3fs import S3FileSystem

from stacks.apply import apply_stack
from stacks.check import Finding, check_stack
from stacks.server_errors import diagnosis
from tests.platform_parts import PASSWORD, S3_KEY, S3_SECRET, Server, running_mlflow, running_s3
from tests.processes import free_port
from tests.stacks.conftest import StackWriter

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_s3(tmp_path_factory.mktemp("s3"), "zenml", "read-only") as server:
        yield server


def faults(name: str, folder: Path) -> dict[str, str]:
    return {finding.what: finding.words for finding in check_stack(name, folder) if not finding.well}


def of_s3(
    stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch, url: str, path: str = "s3://zenml", **login: str
) -> str:
    """What `stack check` says of an artifact store at this address, "" if nothing is wrong."""
    config: dict[str, Any] = {"path": path, "client_kwargs": {"endpoint_url": url, "region_name": "here"}}
    for name, value in {"key": S3_KEY, "secret": S3_SECRET, **login}.items():
        monkeypatch.setenv(f"S3_{name.upper()}", value)
        config[name] = f"${{S3_{name.upper()}:-}}"
    folder = stack_file("remote", artifact_store={"flavor": "s3", "config": config})
    apply_stack("remote", activate=False, folder=folder)
    found = faults("remote", folder)
    assert set(found) <= {"artifact_store remote_s3"}
    return found.get("artifact_store remote_s3", "")


@pytest.mark.parametrize("token", [{}, {"token": ""}, {"token": "of-today"}])
def test_an_object_is_written_read_and_deleted(
    zenml_store: Path,
    s3: Server,
    stack_file: StackWriter,
    monkeypatch: pytest.MonkeyPatch,
    token: dict[str, str],
) -> None:
    assert of_s3(stack_file, monkeypatch, s3.url, **token) == ""
    left = [path for path in (s3.folder / "data" / "zenml").rglob("*") if path.is_file()]
    assert left == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"path": "s3://zenlm"}, "There is no such bucket. Create it"),
        ({"path": "s3://read-only"}, "the bucket is read-only"),
        ({"key": "nobody"}, "S3 does not know the access key"),
        ({"secret": "wrong"}, "S3 refuses the signature"),
        ({"token": "expired"}, "The session token has expired. Get a new one"),
    ],
)
def test_what_s3_refuses_is_told(
    zenml_store: Path,
    s3: Server,
    stack_file: StackWriter,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    told: str,
) -> None:
    said = of_s3(stack_file, monkeypatch, s3.url, **given)
    assert told in said
    assert S3_SECRET not in said


def test_a_clock_that_is_wrong_is_told(
    zenml_store: Path, s3: Server, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def an_hour_ago(remove_tzinfo: bool = True) -> datetime:
        now = datetime.now(UTC) - timedelta(hours=1)
        return now.replace(tzinfo=None) if remove_tzinfo else now

    monkeypatch.setattr("botocore.auth.get_current_datetime", an_hour_ago)
    assert botocore.compat.get_current_datetime is not an_hour_ago
    assert "The clocks of this machine and of S3's differ" in of_s3(stack_file, monkeypatch, s3.url)


@pytest.mark.parametrize(
    ("login", "told"),
    [
        ({"token": "expired"}, "S3 refuses it without a reason, as where the session token has expired"),
        (
            {"secret": "wrong"},
            "S3 denies it without a reason: this login may not, its key or",
        ),
    ],
)
def test_what_s3_refuses_without_a_word_is_told(s3: Server, login: dict[str, str], told: str) -> None:
    """An answer to HEAD has no body: ZenML asks so, before each output of a step, whether it is there."""
    given: dict[str, Any] = {"key": S3_KEY, "secret": S3_SECRET, **login}
    address = {"endpoint_url": s3.url, "region_name": "here"}
    store = S3FileSystem(**given, client_kwargs=address, skip_instance_cache=True)
    with pytest.raises(OSError, match=r"Forbidden|Bad Request") as raised:
        store.exists("zenml/an/output")
    assert told in (diagnosis(raised.value) or "")


def test_a_server_that_is_not_there_is_told(
    zenml_store: Path, s3: Server, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = of_s3(stack_file, monkeypatch, f"http://127.0.0.1:{free_port()}")
    assert "Nothing answers there. Start the server, or correct its address" in said


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The address of a server that answers everything with this status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815  (the name that http.server asks for)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "The server refuses the login"),
        (403, "this login may not"),
        (404, "not the one that is expected"),
    ],
)
def test_what_a_tracker_answers_is_told(
    zenml_store: Path, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch, status: int, told: str
) -> None:
    monkeypatch.setenv("PASSWORD", "a-canary")
    with answering(status) as url:
        login = {"tracking_username": "${USER:-me}", "tracking_password": "${PASSWORD}"}
        tracker = {"flavor": "mlflow", "config": {"tracking_uri": url, **login}}
        folder = stack_file("tracked", experiment_tracker=tracker)
        apply_stack("tracked", activate=False, folder=folder)
        found = faults("tracked", folder)
    assert told in found["experiment_tracker tracked_mlflow"]
    assert "a-canary" not in str(found)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An MLflow server, whose database is mlflow.db in its folder."""
    folder = tmp_path_factory.mktemp("mlflow")
    with running_mlflow(folder, f"sqlite:///{folder}/mlflow.db", None, "files") as server:
        yield server


def of_registry(stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch, server: Server) -> Finding:
    """What `stack check` says of a model registry on this server."""
    monkeypatch.setenv("PASSWORD", PASSWORD)
    login = {"tracking_username": "${NOBODY:-admin}", "tracking_password": "${PASSWORD}"}
    tracker = {"flavor": "mlflow", "config": {"tracking_uri": server.url, **login}}
    folder = stack_file("registry", experiment_tracker=tracker, model_registry={"flavor": "mlflow"})
    apply_stack("registry", activate=False, folder=folder)
    found = {finding.what: finding for finding in check_stack("registry", folder)}
    return found["model_registry registry_mlflow"]


def in_database(server: Server, statement: str) -> list[Any]:
    """What a statement gives in an MLflow server's database."""
    with closing(sqlite3.connect(server.folder / "mlflow.db", timeout=30)) as database, database:
        return database.execute(statement).fetchall()


def test_a_model_is_registered_and_deleted(
    zenml_store: Path, mlflow: Server, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = of_registry(stack_file, monkeypatch, mlflow).words
    assert words == "registered and deleted a model; 0 models"
    assert in_database(mlflow, "SELECT name FROM registered_models") == []


def test_a_registry_that_can_only_be_read_is_told(
    zenml_store: Path, mlflow: Server, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = "BEGIN INSERT INTO no_such_table VALUES (1); END"
    in_database(mlflow, f"CREATE TRIGGER of_the_test BEFORE INSERT ON registered_models {fails}")
    try:
        found = of_registry(stack_file, monkeypatch, mlflow)
    finally:
        in_database(mlflow, "DROP TRIGGER of_the_test")
    assert not found.well
    assert "The server fails at what it is asked." in found.words


def test_a_check_that_is_broken_off_leaves_no_model(
    zenml_store: Path, mlflow: Server, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    create = MlflowClient.create_registered_model
    there: list[Any] = []

    def interrupt(client: MlflowClient, name: str) -> None:
        create(client, name)
        there.extend(in_database(mlflow, "SELECT name FROM registered_models"))
        raise KeyboardInterrupt

    with monkeypatch.context() as broken_off:
        broken_off.setattr(MlflowClient, "create_registered_model", interrupt)
        with pytest.raises(KeyboardInterrupt):
            of_registry(stack_file, monkeypatch, mlflow)
    assert len(there) == 1
    assert in_database(mlflow, "SELECT name FROM registered_models") == []
