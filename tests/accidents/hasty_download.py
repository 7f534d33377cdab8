"""Downloading from the hostile server, in a hurry: what the tests of data.gouv share."""

from __future__ import annotations

import json
from pathlib import Path

from accidents.data.sources.datagouv_download import MANIFEST, download
from accidents.data.sources.published_files import published_files
from accidents.data.sources.retried_download import TransferSettings
from accidents.data.sources.year_files import YearFiles
from tests.accidents.hostile_server import (
    HostileServer,
)
from tests.accidents.published import resource

YEAR = 2018
FIRST = resource("caracteristiques", YEAR)  # the first that is asked for
NAME = "caracteristiques-2018.csv"
HASTY = TransferSettings(
    connect_seconds=2.0,
    stall_seconds=0.8,
    slowest_bytes_per_second=2000.0,
    attempts=4,
    first_wait_seconds=0.01,
    longest_wait_seconds=2.0,
    max_bytes=1_000_000,
)


def get(server: HostileServer, folder: Path, refresh: bool = False) -> YearFiles:
    return download(folder, [YEAR], refresh, base_url=server.address, settings=HASTY)[YEAR]


def is_complete(server: HostileServer, folder: Path) -> bool:
    """Every table is there as the server has it, and nothing half-done is left."""
    there = {path.name for path in (folder / str(YEAR)).iterdir()}
    names = {file.file_name: server.files["/" + file.resource_id] for file in published_files([YEAR])}
    return there == set(names) and all(
        (folder / str(YEAR) / name).read_bytes() == body for name, body in names.items()
    )


def manifest(folder: Path) -> dict[str, dict[str, object]]:
    entries: dict[str, dict[str, object]] = json.loads((folder / MANIFEST).read_text())["files"]
    return entries


def asked_bytes(server: HostileServer, path: str = FIRST) -> list[tuple[str | None, int | None]]:
    """The range and the status of each request for a path."""
    return [(one.headers.get("Range"), one.status) for one in server.asked_for(path)]
