"""The init container's program gets a bundle from each cloud's store, here emulators; refuses a wrong one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.model_servers import Version, make_version
from tests.oauth_stand_in import running_token_server
from tests.platform_parts import (
    S3_KEY,
    S3_SECRET,
    azure_login,
    running_azurite,
    running_gcs,
    running_s3,
)
from tests.zenml_store import ROOT

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return make_version(tmp_path_factory.mktemp("version"), 1)


@contextmanager
def s3(folder: Path) -> Iterator[tuple[str, dict[str, str], Any]]:
    """Its protocol, what a pod's Secret says of it, and its client."""
    with running_s3(folder, "zenml") as server:
        login = {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET}
        client = fsspec.filesystem("s3", key=S3_KEY, secret=S3_SECRET, endpoint_url=server.url)
        yield "s3", {**login, "AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": "us-east-1"}, client


@contextmanager
def azure(folder: Path) -> Iterator[tuple[str, dict[str, str], Any]]:
    with running_azurite(folder, "zenml") as server:
        login = azure_login(server)
        yield (
            "az",
            {"AZURE_STORAGE_CONNECTION_STRING": login},
            fsspec.filesystem("az", connection_string=login),
        )


@contextmanager
def gcs(folder: Path) -> Iterator[tuple[str, dict[str, str], Any]]:
    with running_gcs(folder, "zenml") as server, running_token_server() as tokens:
        login = json.dumps({"token": json.loads(tokens.key)})
        client = fsspec.filesystem("gs", token="anon", endpoint_url=server.url)
        yield "gs", {"STORAGE_EMULATOR_HOST": server.url, "FSSPEC_GS": login}, client
        assert tokens.asked, "it came in without a login"


@pytest.mark.parametrize("cloud", [s3, azure, gcs])
def test_a_bundle_is_fetched_and_another_refused(tmp_path: Path, version: Version, cloud: Any) -> None:
    with cloud(tmp_path / "cloud") as (protocol, login, client):
        uri = f"{protocol}://zenml/run/1/data"
        client.put(f"{version.bundle.folder}/", f"{uri}/", recursive=True)
        done = fetch(uri, tmp_path / "models", version.bundle.digest, login)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in (tmp_path / "models" / "severity").iterdir()} == {
            "bundle",
            "model-settings.json",
        }
        wrong = fetch(uri, tmp_path / "other", "0" * 64, login)
        nothing = fetch(f"{protocol}://zenml/run/2/data", tmp_path / "nothing", version.bundle.digest, login)
    for done in (wrong, nothing):
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert "Traceback" not in done.stderr
    assert "nothing is there" in nothing.stderr


def fetch(uri: str, folder: Path, digest: str, login: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = ["--model", "severity", "--version", "1", "--digest", digest]
    return subprocess.run(
        [sys.executable, "-m", "stacks.fetch_bundle", uri, str(folder), *words],
        cwd=ROOT,
        env=os.environ | login,
        capture_output=True,
        text=True,
        check=False,
    )
