"""`run.py promote VERSION` and `run.py rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.arguments import options
from commands.arguments.options import prepare, read_params


def promote(
    version: Annotated[str, typer.Argument(help="Number of a model version.", metavar="VERSION")],
    stage: options.Stage = None,
    stack: options.Stack = "local",
    params: options.ParamsFile = None,
) -> None:
    """Make a version champion by hand; the endpoint follows."""
    prepare(stack)
    asked = read_params(params, {"stage": stage})
    from commands.champion import change_champion

    change_champion(asked, stack, version)


def rollback(
    stage: options.Stage = None, stack: options.Stack = "local", params: options.ParamsFile = None
) -> None:
    """Put back the champion before this one; the endpoint follows."""
    prepare(stack)
    asked = read_params(params, {"stage": stage})
    from commands.champion import change_champion

    change_champion(asked, stack, None)
