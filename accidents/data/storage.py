"""Files of partitions at an address: a folder of this machine, or one of a store such as `s3://bucket/folder`.

Each is written whole or not at all: what a reader finds, it can read.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from accidents.errors import DataError, SourceError
from accidents.files import write_whole


def is_remote(address: str) -> bool:
    """Whether an address is one of a store, not a path of this machine."""
    return "://" in address


def join(address: str, *names: str) -> str:
    """Return the address of what is below another."""
    return "/".join([address.rstrip("/"), *names])


def write_bytes(address: str, content: bytes) -> None:
    """Write a file, with the folders above it."""
    if is_remote(address):
        with _asked(address) as store:
            store.pipe_file(address, content)  # a store shows an object when it is whole
        return
    path = Path(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def read_bytes(address: str) -> bytes:
    """Read a file. Raises SourceError if it is not there or the store refuses."""
    try:
        if is_remote(address):
            with _asked(address) as store:
                content: bytes = store.cat_file(address)
                return content
        return Path(address).read_bytes()
    except OSError as error:
        raise SourceError(f"{address} cannot be read: {error}") from error


def exists(address: str) -> bool:
    """Whether there is such a file."""
    if not is_remote(address):
        return Path(address).exists()
    with _asked(address) as store:
        return bool(store.exists(address))


def remove(address: str) -> None:
    """Remove a file, if it is there."""
    if is_remote(address):
        with suppress(FileNotFoundError), _asked(address) as store:
            store.rm_file(address)
    else:
        Path(address).unlink(missing_ok=True)


def write_json(address: str, content: Any) -> None:
    """Write JSON, keys in order."""
    write_bytes(address, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def read_json(address: str) -> Any:
    """Read JSON. Raises DataError if it is none."""
    try:
        return json.loads(read_bytes(address))
    except ValueError as error:
        raise DataError(f"{address} is not JSON: {error}. Write it again.") from error


def write_frame(address: str, frame: pd.DataFrame, **options: Any) -> None:
    """Write a frame as Parquet, without its index; `options` are those of pyarrow."""
    write_bytes(address, parquet_of(frame, **options))


def parquet_of(frame: pd.DataFrame, **options: Any) -> bytes:
    """Return a frame as a Parquet file, without its index; `options` are those of pyarrow."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, **options)
    return buffer.getvalue()


def parse_frame(address: str, content: bytes) -> pd.DataFrame:
    """Return the frame of a Parquet file that was read from an address. Raises DataError if it is none."""
    try:
        return pd.read_parquet(io.BytesIO(content))
    except (OSError, ValueError) as error:
        raise _unreadable(address, error) from error


def read_frame(address: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read Parquet, or some columns of it. Raises DataError naming the file if it is none."""
    wanted = None if columns is None else list(columns)
    try:
        if is_remote(address):
            with _asked(address) as store:
                opened = store.open(address, "rb")
            with opened as file:
                return pd.read_parquet(file, columns=wanted)
        return pd.read_parquet(address, columns=wanted)
    except FileNotFoundError as error:
        raise SourceError(f"{address} is not there. Write its partition again.") from error
    except Exception as error:  # each store's client has its own
        if isinstance(error, ValueError) or (isinstance(error, OSError) and error.errno is None):  # pyarrow's
            raise _unreadable(address, error) from error
        raise SourceError(f"{address} cannot be read: {error}") from error


def _unreadable(address: str, error: Exception) -> DataError:
    first = str(error).partition("\n")[0]
    return DataError(f"{address} is no Parquet file that can be read: {first}. Write it again.")


@contextmanager
def _asked(address: str) -> Iterator[Any]:
    """Yield the file system of a store; what its client raises, of whatever kind, is a SourceError.

    But a FileNotFoundError is what it is.
    """
    store = _store(address)
    try:
        yield store
    except FileNotFoundError:
        raise
    except Exception as error:  # each client has its own: of no login, of no connection
        raise SourceError(f"{address}: the store cannot be asked: {error}") from error


def _store(address: str) -> Any:
    """Return the file system of a store; logins and endpoints are those of the environment."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(address)[0]
    except (ImportError, ValueError) as error:
        remedy = "For s3://, `make dask` or `make staging` installs what is needed"
        raise SourceError(f"{address}: no client for this kind of store ({error}). {remedy}.") from error
