"""One file over HTTP: retried with patience, resumed after a cut, never half-written under its own name.

A transfer that is cut, even by `kill -9`, leaves a `PartFile`, and the next run goes on from there.
"""

from __future__ import annotations

import gzip
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from accidents.data.sources.partial_download import PartFile, Version, version_of
from accidents.data.sources.published_files import DATASET_PAGE
from accidents.errors import SourceError

OTHER_WAY = "or work without it: --source sample, or --source FOLDER with files brought another way"
_CHECK_NETWORK = f"Check network and proxy, {OTHER_WAY}"
_TRY_LATER = f"Try later, {OTHER_WAY}"
_GOES_ON = "What has come is kept: run the same command again to go on from there"


@dataclass(frozen=True)
class TransferSettings:
    """How patient a transfer is. Seconds, bytes and bytes per second."""

    connect_seconds: float = 10.0
    stall_seconds: float = 30.0  # no byte for that long, or too few of them, is a stall
    slowest_bytes_per_second: float = 1024.0
    attempts: int = 5
    first_wait_seconds: float = 1.0  # doubled at each attempt
    longest_wait_seconds: float = 60.0
    max_redirects: int = 5
    max_bytes: int = 512 * 1024 * 1024  # a published file has 1 to 20 MB


@dataclass(frozen=True)
class Listener:
    """Who is told how far it is: `bytes_so_far(done, total or None)`, and `retry(reason)` before a wait."""

    bytes_so_far: Callable[[int, int | None], None]
    retry: Callable[[str], None]


class _PassingError(Exception):
    """A failure that may pass. `wait`: seconds the server asked for, if it did."""

    def __init__(self, what: str, remedy: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.what, self.remedy, self.wait = what, remedy, wait


class Transfer:
    """Brings `url` to `target.part`, complete and as sent."""

    def __init__(
        self, client: httpx.Client, url: str, target: Path, settings: TransferSettings, listener: Listener
    ) -> None:
        self._client, self._url, self._target = client, url, target
        self._settings, self._listener = settings, listener
        self.part = PartFile(target)

    def run(self, known: Version | None = None) -> Version | None:
        """Bring the file; with `known`, only if it is another version by now (None: it is not).

        Raises SourceError when it cannot be had. What has come stays for a later run.
        """
        settings, first = self._settings, self._settings.first_wait_seconds
        usual_wait = wait_exponential_jitter(
            multiplier=first, max=settings.longest_wait_seconds, jitter=first
        )

        def wait(state: RetryCallState) -> float:
            asked = _failure(state).wait
            return usual_wait(state) if asked is None else asked

        retrying = Retrying(
            stop=stop_after_attempt(settings.attempts),
            wait=wait,
            retry=retry_if_exception_type(_PassingError),
            before_sleep=lambda state: self._listener.retry(
                f"{_failure(state).what}; trying again in {state.upcoming_sleep:.1f} s"
            ),
            reraise=True,
        )
        try:
            return retrying(self._attempt, known)
        except _PassingError as failure:
            what = f"{failure.what}; gave up after {settings.attempts} attempts"
            raise self._error(what, failure.remedy) from failure

    def _error(self, what: str, remedy: str) -> SourceError:
        return SourceError(f"{self._target.name}: {what} ({self._url}). {remedy}.")

    def _attempt(self, known: Version | None) -> Version | None:
        begun = self.part.version()
        headers = {"Accept-Encoding": "identity"}  # so that sizes and ranges are those of the file itself
        if begun is not None and begun.validator:
            headers |= {"Range": f"bytes={self.part.size}-", "If-Range": begun.validator}
        elif known is not None:
            headers |= known.conditions()
        with self._plain_errors(), self._open(headers) as response:
            if response.status_code == 304 and known is not None:
                return None
            return self._receive(response, self._continued(response, begun))

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Turn what httpx raises into words."""
        try:
            yield
        except httpx.UnsupportedProtocol as error:
            raise self._error("this is no http or https address", "Check the base address") from error
        except httpx.ConnectError as error:
            if "CERTIFICATE" in str(error):
                remedy = "Set SSL_CERT_FILE to the certificates your network uses"
                raise self._error(f"the server's certificate is not trusted: {error}", remedy) from error
            raise _PassingError(f"no connection ({error})", _CHECK_NETWORK) from error
        except httpx.ConnectTimeout as error:
            seconds = self._settings.connect_seconds
            raise _PassingError(f"no connection within {seconds:g} s", _CHECK_NETWORK) from error
        except httpx.TimeoutException as error:
            raise _PassingError(f"no byte came for {self._settings.stall_seconds:g} s", _GOES_ON) from error
        except httpx.TransportError as error:
            raise _PassingError(f"broke off after {self.part.size:,} bytes ({error})", _GOES_ON) from error

    @contextmanager
    def _open(self, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Ask, following redirects that are safe to follow. Raises what an error status stands for."""
        url = httpx.URL(self._url)
        for _ in range(self._settings.max_redirects + 1):
            with self._client.stream("GET", url, headers=headers) as response:
                if not response.has_redirect_location:
                    self._check_status(response)
                    yield response
                    return
                url = self._next_address(url, response.headers["Location"])
        raise self._error(f"more than {self._settings.max_redirects} redirects", _TRY_LATER)

    def _next_address(self, url: httpx.URL, location: str) -> httpx.URL:
        """Where a redirect leads. Raises SourceError unless it is http(s), and no step down from https."""
        target = url.join(location)
        if target.scheme not in ("http", "https") or (url.scheme, target.scheme) == ("https", "http"):
            raise self._error(
                f"redirected to {location!r}, which is not followed: not http(s), or no longer encrypted",
                _TRY_LATER,
            )
        return target

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (200, 206, 304):
            return
        if status == 416:  # the bytes had are more than the file has now
            self.part.discard()
            raise _PassingError("the file has become shorter than the part already here", _GOES_ON, wait=0.0)
        what = f"the server answers {status} {response.reason_phrase}".rstrip()
        wait = _retry_after(response.headers.get("Retry-After"))
        if wait is not None and wait > self._settings.longest_wait_seconds:
            raise self._error(f"{what} and asks to wait {wait:.0f} s", "Run the same command after that")
        if status in (408, 429) or status >= 500 or (status == 403 and wait is not None):
            raise _PassingError(what, f"Wait some minutes and run the same command again, {OTHER_WAY}", wait)
        raise self._error(what, self._remedy(status))

    def _remedy(self, status: int) -> str:
        if status in (404, 410):
            return (
                f"It has moved or is withdrawn: look at {DATASET_PAGE} and put its new id into "
                f"accidents/data/sources/downloadable_years.csv, or save the file by hand as {self._target}"
            )
        if status in (401, 403):
            return f"The server refuses: wait some minutes, check your proxy, {OTHER_WAY}"
        return f"Check the base address, {OTHER_WAY}"

    def _continued(self, response: httpx.Response, begun: Version | None) -> Version:
        """Make the part ready for this answer: continued if it is the same version, else begun anew."""
        if response.status_code != 206:
            version = version_of(response)
            self.part.begin(version)
            return version
        if begun is not None and _continues(response, begun, self.part.size):
            return begun
        self.part.discard()
        raise _PassingError("the file has changed since the part already here", _GOES_ON, wait=0.0)

    def _receive(self, response: httpx.Response, version: Version) -> Version:
        """Add the body to the part. Raises _PassingError on a stall or a short body."""
        if version.encoding not in (None, "gzip"):
            raise self._error(f"sent as {version.encoding!r}, which was not asked for", _TRY_LATER)
        done = self.part.size
        self._check_size(version.size or 0)
        pace = _Pace(self._settings)
        with self.part.path.open("ab", buffering=0) as part:
            for chunk in response.iter_raw():
                done += len(chunk)
                self._check_size(done)
                part.write(chunk)
                self._listener.bytes_so_far(done, version.size)
                pace.check(len(chunk))
        if version.size is not None and done != version.size:
            self.part.discard()
            raise _PassingError(f"{done:,} bytes came where {version.size:,} were announced", _GOES_ON)
        return version

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_bytes:
            self.part.discard()
            limit = self._settings.max_bytes
            raise self._error(f"larger than {limit:,} bytes, which no published file is", _TRY_LATER)

    def unpack(self, version: Version) -> Path:
        """Return the complete part as the file itself: unpacked if it was sent packed.

        Raises SourceError if it cannot be unpacked or becomes larger than any published file.
        """
        if version.encoding is None:
            return self.part.path
        unpacked = self.part.path.with_suffix(".unpacked")
        size = 0
        try:
            with gzip.open(self.part.path) as packed, unpacked.open("wb") as plain:
                while chunk := packed.read(1 << 20):
                    size += len(chunk)
                    self._check_size(size)
                    plain.write(chunk)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            unpacked.unlink()
            self.part.discard()
            raise self._error(f"the packed answer is damaged ({error})", _TRY_LATER) from error
        except BaseException:  # Ctrl-C too: nothing half-written stays but the part
            unpacked.unlink(missing_ok=True)
            raise
        return unpacked


class _Pace:
    """Notices a transfer that goes on, but too slowly to ever end."""

    def __init__(self, settings: TransferSettings) -> None:
        self._settings = settings
        self._begin()

    def _begin(self) -> None:
        self._since, self._bytes = time.monotonic(), 0

    def check(self, came: int) -> None:
        self._bytes += came
        seconds = time.monotonic() - self._since
        if seconds < self._settings.stall_seconds:
            return
        if self._bytes < seconds * self._settings.slowest_bytes_per_second:
            raise _PassingError(f"only {self._bytes} bytes in {seconds:.1f} s", _GOES_ON)
        self._begin()


def _failure(state: RetryCallState) -> _PassingError:
    """Return the failure tenacity is about to wait after: it retries after no other kind."""
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, _PassingError)
    return failure


def _continues(response: httpx.Response, begun: Version, size: int) -> bool:
    """Whether a 206 answer is the rest of `begun` behind `size` bytes: not all servers heed If-Range."""
    first, total = _content_range(response)
    version = version_of(response)
    return (first, total or begun.size, version.etag or begun.etag, version.encoding) == (
        size,
        begun.size,
        begun.etag,
        begun.encoding,
    )


def _content_range(response: httpx.Response) -> tuple[int | None, int | None]:
    """First byte and whole size that a 206 answer names; None where it does not."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, in either of its two forms."""
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
