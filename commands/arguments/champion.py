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
    from commands import champion

    champion.promote(asked, stack, version)


def rollback(
    champion: Annotated[
        bool,
        typer.Option("--champion", help="Put back the champion too, where something is on trial."),
    ] = False,
    stage: options.Stage = None,
    stack: options.Stack = "local",
    params: options.ParamsFile = None,
) -> None:
    """End a trial, or put back the champion before this one.

    Where something is on trial, that goes and the champion stays, unless --champion says otherwise. The
    endpoint follows.
    """
    prepare(stack)
    asked = read_params(params, {"stage": stage})
    from commands.champion import rollback as take_back

    take_back(asked, stack, champion)
