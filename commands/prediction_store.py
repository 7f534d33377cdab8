"""The prediction store, for commands: where commands.project.use_prediction_log or configs/api.yaml says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from accidents.predictions.database_tables import NoDatabaseError
from accidents.predictions.store import VARIABLE, PredictionStore
from accidents.predictions.store import opened_store as opened_at
from commands.project import api_settings, console, on_stack, require_prediction_log


def store_address() -> str:
    """Return the address.

    From now on also in the environment, where steps that run in this process look for it.
    Raises PredictionLogError if the stack in use has one that is not known here.
    """
    require_prediction_log()
    return os.environ.setdefault(VARIABLE, api_settings().database_url)


@contextmanager
def opened_store(begin: bool = False) -> Iterator[PredictionStore]:
    """Yield the store. With `begin` a missing one is made where nobody has named another place for it.

    Raises
    ------
    PredictionLogError
        Nobody says where it is, it is not there (then a NoDatabaseError), does not answer, or is of another
        version.
    """
    if begin:
        _begin()
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


def _default_address() -> str:
    from serving.api.settings import ApiSettings

    return str(ApiSettings.model_fields["database_url"].default)


def _begin() -> None:
    """Begin the log at the default address, and say so. At another, none is a mistake: it would be empty."""
    address = store_address()
    if address != _default_address():
        return
    store = PredictionStore(address)
    try:
        store.check()
    except NoDatabaseError:
        store.create()
        console.print(f"A new prediction log was begun: {store.place}", highlight=False, soft_wrap=True)
    finally:
        store.close()
