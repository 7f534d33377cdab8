"""Errors of the machine are told with what to do about them."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from http.client import RemoteDisconnected
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ServerDisconnectedError
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from docker.errors import ContainerError
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, UNAUTHENTICATED, ErrorCode
from s3fs.errors import translate_boto_error
from urllib3.exceptions import ProtocolError
from zenml.enums import ExecutionStatus
from zenml.exceptions import CredentialsNotValid
from zenml.utils.exception_utils import collect_exception_information

import run
from accidents.errors import AccidentsError
from commands import remedies
from pipelines import runs
from stacks.errors import StackError
from stacks.server_errors import asked


def s3_refuses(code: str, message: str, operation: str = "PutObject") -> Exception:
    """What s3fs makes of an answer of S3's."""
    answer = ClientError({"Error": {"Code": code, "Message": message}}, operation)
    error: Exception = translate_boto_error(answer)
    return error


def mlflow_answers(status: int, code: int, body: str) -> MlflowException:
    """What MLflow's client makes of an answer that is no JSON."""
    said = f"API request to endpoint /api/2.0/mlflow/runs/create failed with error code {status} != 200. "
    return MlflowException(f"{said}Response body: '{body}'", error_code=code)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a"), "disk is full. Make room"),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]), "disk is full. Make room"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "Change its owner or rights"),
        (OSError(errno.EROFS, "Read-only file system"), "Make it writable"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit"),
        (sqlite3.OperationalError("database or disk is full"), "Make room"),
        (sqlite3.OperationalError("database is locked"), "Let it finish"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_each_has_its_remedy_also_where_it_is_the_cause(error: Exception, words: str) -> None:
    assert words in (remedies.remedy(error) or "")
    outer = RuntimeError("a library's own words")
    outer.__cause__ = error
    assert words in (remedies.remedy(outer) or "")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            EndpointConnectionError(endpoint_url="http://127.0.0.1:1/a"),
            "It came from the artifact store. Nothing answers there. Start the server",
        ),
        (
            MlflowException("http://x (Caused by ResponseError('too many 500 error responses'))"),
            "It came from the MLflow server. The server fails at what it is asked. Look into its log",
        ),
        (ConnectionError("[Errno 111] Connection refused"), "Nothing answers there. Start the server"),
        (
            ConnectionClosedError(endpoint_url="http://127.0.0.1:1/a"),
            "It came from the artifact store. It ended the connection in the middle. Start it again",
        ),
        (
            CredentialsNotValid("Authentication error: API key a for service account b is not active"),
            "It does not take the key: it is wrong, revoked or expired. Set ZENML_STORE_API_KEY",
        ),
        (ServerDisconnectedError(), "It ended the connection in the middle."),
        (
            ProtocolError("Connection aborted.", RemoteDisconnected("x")),
            "It ended the connection in the middle.",
        ),
        (ConnectionResetError(104, "Connection reset by peer"), "It ended the connection in the middle."),
        (
            s3_refuses("403", "Forbidden", "HeadObject"),
            "It came from the artifact store. S3 denies it without a reason: this login may not, its key or",
        ),
        (
            s3_refuses("400", "Bad Request", "HeadObject"),
            "It came from the artifact store. S3 refuses it without a reason, as where the session token has",
        ),
        (
            mlflow_answers(403, PERMISSION_DENIED, "Permission denied"),
            "It came from the MLflow server. The server denies it: this login may not do that. Grant it",
        ),
    ],
)
def test_a_server_that_fails_is_named_with_what_to_do(error: Exception, words: str) -> None:
    assert (remedies.remedy(error) or "").startswith(words)
    outer = RuntimeError("a library's own words")
    outer.__cause__ = error
    assert (remedies.remedy(outer) or "").startswith(words)


S3_GONE = EndpointConnectionError(endpoint_url="http://127.0.0.1:1/a")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (s3_refuses("AccessDenied", "Access Denied"), "artifact store. S3 denies it: this login may not, or"),
        (s3_refuses("ExpiredToken", "The provided token has expired."), "artifact store. The session token"),
        (s3_refuses("403", "Forbidden", "HeadObject"), "artifact store. S3 denies it without a reason"),
        (S3_GONE, "artifact store. Nothing answers there. Start the server"),
        (
            mlflow_answers(401, UNAUTHENTICATED, "You are not authenticated."),
            "MLflow server. The server refuses the login. Correct user and password",
        ),
        (
            mlflow_answers(403, PERMISSION_DENIED, "Permission denied"),
            "MLflow server. The server denies it: this login may not do that.",
        ),
        (
            RestException({"error_code": ErrorCode.Name(1), "message": "the database has gone"}),
            "MLflow server. The server fails at what it is asked.",
        ),
    ],
)
def test_a_server_that_fails_a_step_in_a_container_is_told_as_one_that_fails_it_here(
    error: Exception, words: str
) -> None:
    """Of the error there is what ZenML's store keeps: its class, its words, and its traceback as text."""
    with pytest.raises(type(error)) as caught:
        raise error
    told = collect_exception_information(caught.value)
    step: Any = SimpleNamespace(name="train_model", status=ExecutionStatus.FAILED, exception_info=told)
    engine = StackError("A step failed; its container said last:\nConnection refused")
    engine.__cause__ = ContainerError("an id", 1, "python", "an image", b"Connection refused")
    rebuilt = runs._failure(step, [step])
    rebuilt.__cause__ = engine
    assert (remedies.remedy(rebuilt) or "").startswith(f"It came from the {words}")


def test_an_error_of_a_step_in_a_container_is_not_the_engines() -> None:
    error = ConnectionError("[Errno 111] Connection refused")
    error.__cause__ = ContainerError("an id", 1, "python", "an image", b"Connection refused")
    assert (remedies.remedy(error) or "").startswith("Nothing answers there.")


def test_a_server_is_known_by_the_code_that_asked_it() -> None:
    code = compile("raise OSError('Max retries exceeded')", "rest_zen_store.py", "exec")
    with pytest.raises(OSError, match="Max retries") as raised:
        exec(code, {"__name__": "zenml.zen_stores.rest_zen_store"})
    assert asked(raised.value) == "ZenML's server"
    assert asked(ValueError("x")) is None


def test_a_folder_that_could_not_be_copied_is_told_in_a_line() -> None:
    failed = shutil.Error([("a.csv", "x", "No space left"), ("b.csv", "y", "No space left")])
    assert remedies.first_line(failed) == "a.csv could not be copied: No space left, and 1 more"


def test_what_nobody_foresaw_has_none() -> None:
    assert remedies.remedy(ValueError("x")) is None


def test_the_database_that_was_cut_off_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "ROOT", tmp_path)
    (tmp_path / ".zenml").mkdir()
    for name in ("good.db", "cut.db"):
        with sqlite3.connect(tmp_path / ".zenml" / name) as connection:
            connection.execute("CREATE TABLE t (x)")
            connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 100)
        connection.close()
    cut = tmp_path / ".zenml" / "cut.db"
    cut.write_bytes(cut.read_bytes()[:20_000])
    with pytest.raises(sqlite3.DatabaseError) as caught, sqlite3.connect(cut) as connection:
        connection.execute("SELECT * FROM t").fetchall()
    said = remedies.remedy(caught.value)
    assert said is not None
    assert said.endswith("fills it. It is .zenml/cut.db.")


def test_a_full_disk_does_not_hide_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".serving").write_text("a file where the folder of the log should be")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    said = run._unforeseen(OSError(errno.ENOSPC, "No space left on device"))
    assert "Make room" in said
    assert "Where it came from" not in said


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (sqlite3.DatabaseError("database disk image is malformed"), "Put back its backup"),
        (OSError(errno.ENOSPC, "No space left on device"), "Make room"),
        (PermissionError(errno.EACCES, "Permission denied"), None),  # its own words say what to do
    ],
)
def test_an_error_of_ours_has_the_remedy_of_what_the_machine_did(
    cause: Exception, words: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build() -> object:
        raise AccidentsError(f"The model registry cannot be asked: {cause}") from cause

    monkeypatch.setattr(run, "build", build)
    assert run.cli([]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: The model registry cannot be asked: ")
    assert words in said if words else said.count("\n") == 1
