"""`--new-key` and `--revoke-key NAME`: who may call the API."""

from __future__ import annotations

from itertools import count

from commands.project import ROOT, api_settings, console


def new(name: str | None) -> None:
    """Make a key, for `name` or with the next free number as its name, and show it, this once."""
    from serving.api.keys import Keys

    keys = Keys(ROOT / api_settings().keys_file)
    first = not keys.any()
    name = name or next(f"key-{n}" for n in count(1) if f"key-{n}" not in keys.names())
    console.print(
        f"Key for {name}, shown once; only its hash is kept:\n\n  {keys.new(name)}\n", highlight=False
    )
    console.print("Send it as the header [bold]X-API-Key[/]. A running API takes it within seconds.")
    if first:
        console.print("From now on the API asks everybody for a key, and may listen beyond this machine.")


def revoke(name: str) -> None:
    """Make a key useless; a running API follows within seconds."""
    from serving.api.keys import Keys

    Keys(ROOT / api_settings().keys_file).revoke(name)
    console.print(f"The key of {name} opens nothing any more.")
