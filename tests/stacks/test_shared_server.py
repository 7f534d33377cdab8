"""Commands against a ZenML server that others use, too: it is never changed but by `stack apply`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.project_copy import copy_project
from tests.pipelines.conftest import Project
from tests.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.server]
PASSWORD = "of-the-tests-1"
START_SECONDS = 120
LOGGED = "predictions: postgresql+psycopg://someone:${PREDICTIONS_PASSWORD}@db.example/log\n"
SECRET = """
from zenml.client import Client
Client().create_secret("accidents", {"database_url": "sqlite:///.serving/predictions.db"})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a ZenML server on a database of its own."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    settings = {"ZENML_CONFIG_PATH": str(folder), "ZENML_STORE_URL": f"sqlite:///{folder}/zenml.db",
                "ZENML_SERVER_AUTO_ACTIVATE": "1", "ZENML_DEFAULT_USER_NAME": "admin",
                "ZENML_DEFAULT_USER_PASSWORD": PASSWORD, "ZENML_ANALYTICS_OPT_IN": "false"}  # fmt: skip
    words = ["-m", "uvicorn", "zenml.zen_server.zen_server_api:app", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=folder, env=plain_environment() | settings, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/health", process)
            yield url
        finally:
            process.terminate()
            process.wait(30)


class Member:
    """One who works on the project, and has a key to the server."""

    def __init__(self, folder: Path, server: str) -> None:
        self.project = Project(copy_project(folder, compiled=True))
        self.environment = self.project.environment
        self.environment |= {
            "ZENML_CONFIG_PATH": str(folder / ".zenml"), "ZENML_STORE_URL": server,
            "ZENML_STORE_API_KEY": new_key(server, folder.name),
        }  # fmt: skip

    def __call__(self, *words: str) -> tuple[int, str]:
        """Exit code, and what `python run.py WORDS` says."""
        done = self.project(*words, check=False)
        return done.returncode, done.stdout + done.stderr

    def describe(self, text: str) -> None:
        """Change the description of stack `bare` in this copy."""
        path = self.project.folder / "stacks" / "bare.yaml"
        lines = path.read_text(encoding="utf-8").splitlines()
        changed = [f"description: {text}" if line.startswith("description:") else line for line in lines]
        path.write_text("\n".join(changed), encoding="utf-8")


def test_only_apply_changes_a_stack_of_a_shared_server(server: str, tmp_path: Path) -> None:
    ann, bob = Member(tmp_path / "ann", server), Member(tmp_path / "bob", server)
    code, said = ann("status", "--stack", "bare")
    assert code == 1
    assert f"Stack bare has not been applied to ZenML's store at {server}. Apply it: " in said
    code, said = ann("stop", "--all")
    assert code == 0, f"nobody has applied any stack: {said}"
    code, said = ann("stack", "apply", "bare")
    assert code == 0
    assert "created stack bare" in said
    assert "Stack bare: nothing has changed." in ann("stack", "apply", "bare")[1]
    assert bob("status", "--stack", "bare")[0] == 0, "somebody else's clone is in another folder"

    bob.describe("Bob's own.")
    code, said = bob("status", "--stack", "bare")
    assert code == 1
    assert "is not what was applied" in said
    assert "changed since" in bob("stack", "list")[1]
    assert ann("status", "--stack", "bare")[0] == 0, "Bob's run has changed nothing"
    assert "updated stack bare" in bob("stack", "apply", "bare")[1]
    assert bob("status", "--stack", "bare")[0] == 0
    assert ann("status", "--stack", "bare")[0] == 1

    code, said = bob("stack", "check", "bare")
    assert code == 0, said
    assert f"ok    store: {server}" in said
    code, said = bob("stack", "teardown", "bare")
    assert code == 1
    assert "is active" in said
    assert "removed stack bare" in bob("stack", "teardown", "bare", "--yes")[1]


def test_who_has_the_key_alone_needs_the_prediction_logs_address_only_to_open_it(
    server: str, tmp_path: Path
) -> None:
    """What trains and deploys so: tests/servers/test_shared_server.py."""
    ann, bob = Member(tmp_path / "anna", server), Member(tmp_path / "ben", server)
    for member in (ann, bob):
        stacks = member.project.folder / "stacks"
        bare = (stacks / "bare.yaml").read_text(encoding="utf-8")
        logged = bare.replace("name: bare", "name: logged") + LOGGED
        (stacks / "logged.yaml").write_text(logged, encoding="utf-8")
    assert "created stack logged" in ann("stack", "apply", "logged")[1]

    assert bob("stop", "--stack", "logged")[0] == 0
    code, said = bob("promote", "1", "--stack", "logged")
    assert (code, "PREDICTIONS_PASSWORD" in said) == (1, False), said
    for words in (("database", "upgrade", "--stack", "logged"), ("stack", "check", "logged")):
        code, said = bob(*words)
        assert code == 1
        assert "needs the environment variable PREDICTIONS_PASSWORD, which is not set" in said
        assert "zenml secret create accidents --database_url=" in said
    code, said = bob("status", "--stack", "logged")
    assert (code, "cannot be counted: Stack logged, unless" in said) == (0, True), said

    ann.project.python(SECRET)
    assert "is up to date" in bob("database", "upgrade", "--stack", "logged")[1]
    assert bob("stack", "check", "logged")[0] == 0


def test_a_server_that_is_not_there_and_a_wrong_key_are_told_plainly(server: str, tmp_path: Path) -> None:
    member = Member(tmp_path / "eve", server)
    member.environment["ZENML_STORE_API_KEY"] = "ZENKEY_wrong"
    code, said = member("stack", "list")
    assert code == 1
    assert said.startswith(f"Error: ZenML's server {server} refuses: ")
    member.environment["ZENML_STORE_URL"] = gone = f"http://127.0.0.1:{free_port()}"
    code, said = member("status", "--stack", "bare")
    assert code == 1
    assert said.startswith(f"Error: ZenML's server {gone} does not answer.")


def plain_environment() -> dict[str, str]:
    """Ours without what it says of other stores."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("ZENML_", "MLFLOW_"))}


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"ZenML's server did not start: {url}", pytrace=False)


def new_key(server: str, name: str) -> str:
    """The key of a new service account."""
    login = urllib.parse.urlencode({"username": "admin", "password": PASSWORD}).encode()
    token = post(f"{server}/api/v1/login", login, {})["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    accounts = f"{server}/api/v1/service_accounts"
    account = post(accounts, json.dumps({"name": name, "active": True}).encode(), headers)
    made = post(f"{accounts}/{account['id']}/api_keys", json.dumps({"name": "key"}).encode(), headers)
    return str(made["body"]["key"])


def post(url: str, body: bytes, headers: dict[str, str]) -> dict[str, dict[str, str]]:
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
        found: dict[str, dict[str, str]] = json.load(answer)
        return found
