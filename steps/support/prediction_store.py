"""The prediction store, for steps: wherever they run, its address comes from the environment or a secret.

Never as a parameter of a step, which ZenML would show in its dashboard: an address may hold a password.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from accidents.errors import SettingsError
from accidents.predictions.store import VARIABLE, PredictionStore
from accidents.predictions.store import opened_store as opened_at

SECRET, KEY = "accidents", "database_url"  # of ZenML: the secret, and its key that holds the address
SECRET_COMMAND = f"zenml secret create {SECRET} --{KEY}=postgresql://..."


@contextmanager
def opened_store() -> Iterator[PredictionStore]:
    """Yield the store at that address. It is never made here.

    Raises
    ------
    SettingsError
        Neither the environment nor a secret says where it is.
    PredictionLogError
        It is not there (then a NoDatabaseError), does not answer, or is of another version.
    """
    address = os.environ.get(VARIABLE) or _address_in_secret()
    if not address:
        raise SettingsError(
            f"{VARIABLE} is not set, and ZenML has no secret {SECRET!r} with a key {KEY!r}, so the "
            f"prediction log cannot be found. Where steps run on other machines: {SECRET_COMMAND}"
        )
    with opened_at(address) as store:
        yield store


def use_secret() -> None:
    """Have commands, and the API that they start, go where the active stack's steps go."""
    if not os.environ.get(VARIABLE) and (address := _address_in_secret()):
        os.environ[VARIABLE] = address


def _address_in_secret() -> str | None:
    from zenml.client import Client

    try:
        secret = Client().get_secret(SECRET, allow_partial_name_match=False, allow_partial_id_match=False)
    except (KeyError, NotImplementedError):  # no such secret; a server that keeps none
        return None
    return secret.secret_values.get(KEY)
