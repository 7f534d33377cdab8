"""A data version reaches another machine through a DVC remote in S3, or it is told why not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from accidents.data.data_versions import push, restore, snapshot
from accidents.errors import SourceError
from stacks.server_errors import asked, diagnosis
from tests.accidents.data.test_versioning import repository, two_years
from tests.platform_parts import S3_KEY, S3_SECRET, Server, running_s3

__all__ = ["repository"]

pytestmark = [pytest.mark.server, pytest.mark.slow]
REMOTE = "s3://raw/files"


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An S3 server, and what a shell says of it."""
    with running_s3(tmp_path / "s3", "raw", "read-only") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield server


def test_files_come_back_from_s3_and_a_server_that_is_down_is_told(
    repository: Path, tmp_path: Path, s3: Server
) -> None:
    files = two_years(tmp_path / "raw")
    version = snapshot(files, repository)
    push(version, REMOTE, repository)
    shutil.rmtree(repository / ".dvc" / "cache")
    back = restore(version, tmp_path / "back", repository, REMOTE)
    assert {inside: (back / inside).read_bytes() for inside in files} == {
        inside: path.read_bytes() for inside, path in files.items()
    }
    shutil.rmtree(repository / ".dvc" / "cache")
    s3.stop()
    with pytest.raises(EndpointConnectionError) as raised:
        restore(version, tmp_path / "again", repository, REMOTE)
    assert "Nothing answers there. Start the server" in str(diagnosis(raised.value))
    assert asked(raised.value) == "the DVC remote"


def test_files_that_do_not_get_there_are_told(repository: Path, tmp_path: Path, s3: Server) -> None:
    version = snapshot(two_years(tmp_path / "raw"), repository)
    with pytest.raises(SourceError, match=r"3 files of data version .* could not be copied .* to read-only"):
        push(version, "s3://read-only/files", repository)
