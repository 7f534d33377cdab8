"""`run.py keys`: who may call the API, or with `--hook` start its loop."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING

from accidents.predictions.database_tables import NoDatabaseError, OutdatedError
from accidents.predictions.store import PredictionStore
from commands.prediction_store import opened_store, store_address
from commands.project import ROOT, api_settings, console, use_prediction_log

if TYPE_CHECKING:
    from serving.api.operations.keys import KeyRing


def new(name: str | None, scopes: Sequence[str], hook: bool = False) -> None:
    """Make a key, for `name` or with the next free number as its name, and show it, this once.

    `scopes`: what it may do; none said: ask for predictions.
    """
    from serving.api.operations.keys import CORRECT, LABEL, PREDICT, SCOPES

    keys = keys_of(hook)
    first = not keys.any()
    name = name or next(f"key-{n}" for n in count(1) if f"key-{n}" not in keys.names())
    asked = {*scopes, LABEL} if CORRECT in scopes else {*scopes} or {PREDICT}
    granted = [] if hook else [scope for scope in SCOPES if scope in asked]
    made = keys.new(name, granted)
    console.print(f"Key for {name}, shown once; only its hash is kept:\n\n  {made}\n", highlight=False)
    console.print("Send it as the header [bold]X-API-Key[/]. A running API takes it within seconds.")
    if hook:
        console.print("It opens POST /hooks/alert, and nothing else.")
        return
    console.print(f"It may {', '.join(SCOPES[scope] for scope in granted)}.")
    if first:
        console.print("From now on the API asks everybody for a key, and may listen beyond this machine.")


def revoke(name: str, hook: bool = False) -> None:
    """Make a key useless; a running API follows within seconds."""
    keys_of(hook).revoke(name)
    console.print(f"The key of {name} opens nothing any more.")


def show(hook: bool = False) -> None:
    """Print the name of each key, and what it may do; the keys themselves are known to nobody."""
    from serving.api.operations.keys import SCOPES

    keys = keys_of(hook)
    names = keys.names()
    for name in names:
        granted = (
            "start the loop" if hook else ", ".join(scope for scope in SCOPES if scope in keys.scopes(name))
        )
        console.print(f"{name:24} {granted}", highlight=False, markup=False)
    if not names:
        console.print("No key opens anything." if keys.any() else "No key was made yet: run.py keys new.")


def keys_of(hook: bool) -> KeyRing:
    """Return the keys that open the API, or those that open its hook."""
    from serving.api.operations.keys_in_database import keys_for

    settings = api_settings()
    if settings.keys_in == "database":
        settings = settings.model_copy(update={"database_url": _address()})
    return keys_for(settings, PredictionStore(settings.database_url), hook, ROOT)


def key_is_asked() -> bool:
    """Whether callers need a key; a database that the API's start will make or upgrade has none yet."""
    if api_settings().keys_in == "database":
        try:
            with opened_store():
                pass
        except (NoDatabaseError, OutdatedError):
            return False
    return keys_of(hook=False).any()


def to_database() -> None:
    """Take the keys of both files over into the database, which is made if need be: callers keep theirs."""
    from serving.api.operations.keys import Keys
    from serving.api.operations.keys_in_database import StoredKeys

    settings, store = api_settings(), PredictionStore(_address())
    store.create(settings.upgrade_log)
    for hook, file in ((False, settings.keys_file), (True, settings.hook_keys_file)):
        keys = StoredKeys(store.keys(hook), watched=False)
        for name in keys.take_over(Keys(ROOT / file).entries()):
            console.print(f"{name} is in {store.place}.", highlight=False, soft_wrap=True)
    if settings.keys_in == "file":
        console.print("Now set [bold]keys_in: database[/] in configs/api.yaml, and start the API anew.")


def _address() -> str:
    """Return where the API that `run.py serve` starts has its database."""
    use_prediction_log()
    return store_address()
