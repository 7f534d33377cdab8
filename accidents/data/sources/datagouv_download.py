"""The published files, downloaded from data.gouv.fr.

Files lie in `FOLDER/YEAR/OFFICIAL_NAME`; `FOLDER/sources.json` records for each where it came from, when, and
its SHA-256. A file that is there and unaltered is not fetched again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from filelock import FileLock, Timeout

from accidents.data.sources.download_progress import DownloadProgress
from accidents.data.sources.partial_download import Version
from accidents.data.sources.published_files import PublishedFile, check_content, published_files
from accidents.data.sources.retried_download import Transfer, TransferSettings
from accidents.data.sources.year_files import TABLES, YearFiles
from accidents.errors import SourceError
from accidents.files import write_whole

BASE_URL = "https://www.data.gouv.fr/fr/datasets/r"
MANIFEST = "sources.json"
LOCK = ".download.lock"


@dataclass(frozen=True)
class Origin:
    """Where a file came from: one entry of `sources.json`."""

    sha256: str
    bytes: int
    recorded: str  # date and time, UTC
    url: str | None = None  # None: the file was put here by hand
    version: Version | None = None  # as the server called it


def download(
    folder: Path,
    years: Sequence[int],
    refresh: bool = False,
    base_url: str = BASE_URL,
    settings: TransferSettings | None = None,
) -> dict[int, YearFiles]:
    """Have the four published files of each year below `folder`.

    Parameters
    ----------
    folder : made if need be. Only one download at a time works in it.
    years : 2005 to 2024.
    refresh : ask the server whether files already here have changed, and fetch those that have.
    base_url : what stands before `/RESOURCE_ID` in a file's address.
    settings : how patient to be.

    Returns
    -------
    The files of each year, years ascending.

    Raises
    ------
    SourceError
        If a year is not published, a file cannot be had, is not what it should be or was altered here, or
        another download works in the folder. Files that are complete by then, and the part of the one that
        is not, stay: the same command goes on from there.
    """
    files = published_files(years)
    settings = settings or TransferSettings()
    timeout = httpx.Timeout(settings.stall_seconds, connect=settings.connect_seconds)
    with (
        _writing_into(folder),
        _locked(folder),
        httpx.Client(timeout=timeout, follow_redirects=False) as client,
        DownloadProgress() as progress,
    ):
        store = _Store(folder, base_url, client, settings, progress)
        for file in files:
            store.have(file, refresh)
    return {year: _year_files(folder, files, year) for year in sorted(set(years))}


def _year_files(folder: Path, files: Sequence[PublishedFile], year: int) -> YearFiles:
    paths = {file.table: folder / file.place for file in files if file.year == year}
    return YearFiles(year, *map(paths.get, TABLES))


@contextmanager
def _writing_into(folder: Path) -> Iterator[None]:
    """Make the folder; tell a full disk or a forbidden folder in words."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise SourceError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}). "
            "Make room or allow writing there, or name another folder, then run the same command again."
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep a second download out. The system frees the lock when its process ends, however it ends."""
    try:
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise SourceError(
            f"{folder}: another download works in this folder (it holds {LOCK}). "
            "Let it end and run the same command again, or name another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


class _Store:
    """The download folder: what is in it, and how one more file gets there."""

    def __init__(
        self, folder: Path, base_url: str, client: httpx.Client, settings: TransferSettings,
        progress: DownloadProgress,
    ) -> None:  # fmt: skip
        self._folder, self._base_url = folder, base_url.rstrip("/")
        self._client, self._settings, self._progress = client, settings, progress
        self._origins = _read_manifest(folder / MANIFEST)

    def have(self, file: PublishedFile, refresh: bool) -> None:
        """Have one file, unaltered and, with `refresh`, in its newest version."""
        origin = self._here(file, refresh)
        if origin is not None and not refresh:
            self._progress.line(file.file_name, "already here")
            return
        url = f"{self._base_url}/{file.resource_id}"
        target = self._folder / file.place
        target.parent.mkdir(exist_ok=True)
        transfer = Transfer(
            self._client, url, target, self._settings, self._progress.listener(file.file_name)
        )
        version = transfer.run(origin.version if origin else None)
        if version is None:
            self._progress.line(file.file_name, "unchanged on the server")
            return
        self._accept(file, transfer, version, url, origin)

    def _accept(
        self, file: PublishedFile, transfer: Transfer, version: Version, url: str, before: Origin | None
    ) -> None:
        """Check a complete transfer, give the file its name and record it."""
        complete = transfer.unpack(version)
        try:
            check_content(complete, file)
        except BaseException:
            complete.unlink()
            transfer.part.discard()
            raise
        origin = _origin_of(complete, url, version)
        os.replace(complete, self._folder / file.place)
        self._record(file, origin)
        transfer.part.discard()
        same = before is not None and before.sha256 == origin.sha256
        done = "unchanged" if same else "changed on the server, downloaded" if before else "downloaded"
        self._progress.line(file.file_name, f"{done}, {origin.bytes / 1e6:.1f} MB")

    def _here(self, file: PublishedFile, refresh: bool) -> Origin | None:
        """Return the origin of a file that is here and usable.

        Raises SourceError if it was altered, unless it is about to be refreshed.
        """
        path = self._folder / file.place
        if not path.exists():
            return None
        origin = self._origins.get(file.place)
        if origin is None:
            return self._adopt(file, path)
        if _sha256(path) == origin.sha256:
            return origin
        if refresh:
            self._progress.line(file.file_name, "was altered here: fetched again")
            return None
        raise SourceError(
            f"{path}: this is not the file that was downloaded (its SHA-256 is not the one in {MANIFEST}). "
            "Fetch it again with --refresh; or, to use your own version, copy the year to a folder "
            "of your own and name that folder as --source."
        )

    def _adopt(self, file: PublishedFile, path: Path) -> Origin:
        """Take a file somebody saved here by hand, if it is what its name says."""
        check_content(path, file)
        origin = _origin_of(path)
        self._record(file, origin)
        self._progress.line(file.file_name, "found here, not downloaded: recorded as it is")
        return origin

    def _record(self, file: PublishedFile, origin: Origin) -> None:
        self._origins[file.place] = origin
        entries = {place: asdict(self._origins[place]) for place in sorted(self._origins)}
        write_whole(self._folder / MANIFEST, json.dumps({"format": 1, "files": entries}, indent=1) + "\n")


def _origin_of(path: Path, url: str | None = None, version: Version | None = None) -> Origin:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Origin(_sha256(path), path.stat().st_size, now, url, version)


def _sha256(path: Path) -> str:
    with path.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def _read_manifest(path: Path) -> dict[str, Origin]:
    """Read `sources.json`. Raises SourceError if it is there but not readable as such."""
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {place: _origin(entry) for place, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path}: not readable as the record of downloads ({error}). "
            "Move it away and run the same command again: the files beside it are checked and recorded anew."
        ) from error


def _origin(entry: dict[str, object]) -> Origin:
    version = entry.pop("version")
    return Origin(**entry, version=Version(**version) if version else None)  # type: ignore[arg-type]
