"""`run.py keys new|revoke|list`: who may call the API, or with `--hook` start its loop."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from accidents.errors import SettingsError
from commands.arguments.options import prepare_store


class Scope(StrEnum):
    """What a key may do: serving/api/operations/keys.py."""

    predict = "predict"
    label = "label"
    correct = "correct"


Hook = Annotated[
    bool, typer.Option("--hook", help="Of those that start the monitoring loop, and do nothing else.")
]

keys = typer.Typer(name="keys", help="Make, revoke and list the keys of the API.")


@keys.command()
def new(
    name: Annotated[str | None, typer.Option(help="Whose key it is.", metavar="NAME")] = None,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="predict (without any), label or correct; again for more.", metavar="SCOPE"),
    ] = None,
    hook: Hook = False,
) -> None:
    """Make a key; it is shown once."""
    if hook and scope:
        raise SettingsError("--scope does not go with --hook: such a key starts the loop, and nothing else")
    prepare_store()  # with `keys_in: database` ZenML may know where that is
    from commands import keys as work

    work.new(name, [granted.value for granted in scope or ()], hook)


@keys.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Whose key.", metavar="NAME")], hook: Hook = False
) -> None:
    """Make a key useless."""
    prepare_store()
    from commands import keys as work

    work.revoke(name, hook)


@keys.command("list")
def list_keys(hook: Hook = False) -> None:
    """List whose keys there are, and what each may do."""
    prepare_store()
    from commands import keys as work

    work.show(hook)


@keys.command("to-database")
def to_database() -> None:
    """Take the keys of the files over into the database, for `keys_in: database`."""
    prepare_store()
    from commands import keys as work

    work.to_database()
