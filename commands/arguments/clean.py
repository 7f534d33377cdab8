"""`run.py clean`."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.arguments import options
from commands.arguments.options import prepare, read_params


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it without asking.")] = False,
    stack: options.Stack = "local",
    params: options.ParamsFile = None,
) -> None:
    """Show and remove what is old: `keep` in params.yaml."""
    prepare(stack)
    asked = read_params(params)
    from commands.clean import clean as run

    run(asked, stack, yes)
