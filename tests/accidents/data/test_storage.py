"""A store that cannot be asked is named, whatever its client raises."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import NoCredentialsError

from accidents.data import storage
from accidents.errors import SourceError

ADDRESS = "s3://bucket/file"


class NoLogin:
    """A client without a login: botocore's error is none of the system's."""

    def refuse(self, *_: object) -> None:
        raise NoCredentialsError

    pipe_file = cat_file = exists = rm_file = open = refuse


def test_what_may_not_be_read_is_not_called_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "The provided token has expired")

    monkeypatch.setattr(storage.pd, "read_parquet", refuse)
    with pytest.raises(SourceError, match=r"file cannot be read: .*token has expired"):
        storage.read_frame("a file")


@pytest.mark.parametrize(
    "ask",
    [storage.exists, storage.read_bytes, storage.read_frame, storage.remove,
     lambda address: storage.write_bytes(address, b"")],
)  # fmt: skip
def test_a_store_without_a_login_is_named(
    ask: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_store", lambda _: NoLogin())
    with pytest.raises(SourceError, match=r"s3://bucket/file: the store cannot be asked: Unable to locate"):
        ask(ADDRESS)
