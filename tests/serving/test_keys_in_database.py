"""Keys in the database: what is damaged opens nothing, and does not end the watch over them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from accidents.predictions.store import PredictionStore
from serving.api.operations import keys_in_database
from serving.api.operations.keys import KeysError
from serving.api.operations.keys_in_database import StoredKeys, read_keys, watch_keys
from tests.postgres import PostgresServer
from tests.predictions import connected

pytest_plugins = ("tests.log_fixtures",)  # the fixture `postgres`


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/predictions.db"


@pytest.fixture
def store(address: str) -> Iterator[PredictionStore]:
    with closing(PredictionStore(address)) as store:
        store.create()
        yield store


def change(address: str, statement: str) -> None:
    engine = create_engine(address)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize("damage", ["scopes = 'nonsense'", "scopes = '7'", "sha256 = 'nonsense'"])
def test_damaged_keys_are_told_and_read_again_once_they_are_mended(
    store: PredictionStore, address: str, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_in_database, "EVERY", 0.02)
    made = StoredKeys(store.keys(hook=False), watched=False)
    key = made.new("one")
    change(address, "CREATE TABLE kept AS SELECT * FROM api_keys")
    watched = StoredKeys(store.keys(hook=False), watched=True)

    async def run() -> None:
        await read_keys([watched])
        watch = asyncio.create_task(watch_keys([watched]))
        await asyncio.to_thread(change, address, f"UPDATE api_keys SET {damage}")
        with pytest.raises(KeysError, match="damaged"):
            made.names()
        await asyncio.sleep(0.2)
        assert not watch.done()
        mended = "UPDATE api_keys SET scopes = (SELECT scopes FROM kept), sha256 = (SELECT sha256 FROM kept)"
        await asyncio.to_thread(change, address, mended)
        made.revoke("one")
        for _ in range(100):
            if watched.check(key) is None:
                break
            await asyncio.sleep(0.02)
        assert watched.check(key) is None, "it is read again"
        watch.cancel()

    asyncio.run(run())


@pytest.mark.server
def test_of_two_that_make_a_key_of_one_name_one_is_told_so(postgres: PostgresServer) -> None:
    address = postgres.new_database()
    with closing(PredictionStore(address)) as store, connected(address) as other:
        store.create()
        row = "INSERT INTO api_keys VALUES (false, 'one', 'ab', now(), '[]', NULL)"
        other.execute(text(row))
        threading.Timer(0.2, other.commit).start()
        with pytest.raises(KeysError, match="There is a key named 'one'"):
            StoredKeys(store.keys(hook=False), watched=False).new("one")
