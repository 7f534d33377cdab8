"""The prediction store, for commands: where commands.project.use_prediction_log or configs/api.yaml says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from accidents.predictions.database_tables import NoDatabaseError
from accidents.predictions.store import VARIABLE, PredictionStore
from accidents.predictions.store import opened_store as opened_at
from commands.project import api_settings, console, on_stack


def store_address() -> str:
    """Return the address.

    From now on also in the environment, where steps that run in this process look for it.
    """
    return os.environ.setdefault(VARIABLE, api_settings().database_url)


@contextmanager
def opened_store(begin: bool = False) -> Iterator[PredictionStore]:
    """Yield the store. With `begin` a missing file of SQLite, which is nobody else's, is made.

    Raises
    ------
    PredictionLogError
        It is not there (then a NoDatabaseError), does not answer, or is of another version.
    """
    if begin:
        _begin_file()
    with opened_at(store_address()) as store:
        yield store


def upgrade_store(stack: str) -> None:
    """Make the tables where there are none, and bring older ones up to date."""
    on_stack(stack)
    store = PredictionStore(store_address())
    try:
        store.create()
    finally:
        store.close()
    console.print(f"The prediction log {store.place} is up to date.", highlight=False, soft_wrap=True)


def _begin_file() -> None:
    store = PredictionStore(store_address())
    try:
        store.check()
    except NoDatabaseError:
        if not store.shared:
            store.create()
    finally:
        store.close()
