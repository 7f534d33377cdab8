"""`run.py keys`: who may call the API, or with `--hook` start its loop."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING

from commands.project import ROOT, api_settings, console

if TYPE_CHECKING:
    from serving.api.operations.keys import Keys


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


def keys_of(hook: bool) -> Keys:
    """Return the keys that open the API, or those that open its hook."""
    from serving.api.operations.keys import Keys

    settings = api_settings()
    return Keys(ROOT / (settings.hook_keys_file if hook else settings.keys_file))
