"""`run.py database upgrade`: the prediction log's tables."""

from __future__ import annotations

import typer

from commands.arguments import options
from commands.arguments.options import prepare

database = typer.Typer(name="database", help="Look after the prediction log.")


@database.callback()
def _group() -> None:
    """Make it a group, though it has one command."""


@database.command()
def upgrade(stack: options.Stack = "local") -> None:
    """Make the prediction log where there is none, and bring an older one up to date."""
    prepare(stack)
    from commands.prediction_store import upgrade_store

    upgrade_store(stack)
