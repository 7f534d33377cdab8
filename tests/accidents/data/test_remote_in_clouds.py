"""A data version reaches another machine through a DVC remote on Azure or Google Cloud, here emulators."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from accidents.data.data_versions import push, restore, snapshot
from tests.accidents.data.test_versioning import repository, two_years
from tests.platform_parts import azure_login, running_azurite, running_gcs

__all__ = ["repository"]

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(params=["azure", "gs"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A remote's address, and a shell that says where its cloud is."""
    if request.param == "azure":
        with running_azurite(tmp_path / "azurite", "raw") as server:
            monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure_login(server))
            yield "azure://raw/files"
    else:
        with running_gcs(tmp_path / "gcs", "raw") as server:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
            monkeypatch.setenv("NO_GCE_CHECK", "true")
            yield "gs://raw/files"


def test_files_come_back(repository: Path, tmp_path: Path, remote: str) -> None:
    files = two_years(tmp_path / "raw")
    version = snapshot(files, repository)
    push(version, remote, repository)
    shutil.rmtree(repository / ".dvc" / "cache")
    back = restore(version, tmp_path / "back", repository, remote)
    assert {inside: (back / inside).read_bytes() for inside in files} == {
        inside: path.read_bytes() for inside, path in files.items()
    }
