"""`run.py --pipeline deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.cli import options
from commands.cli.options import prepare, read_params


def deploy(
    version: Annotated[
        str | None, typer.Option(help="Serve this version, not the champion.", metavar="VERSION")
    ] = None,
    stage: options.Stage = None,
    stack: options.Stack = "local",
    params: options.ParamsFile = None,
    config: options.ConfigFile = None,
) -> None:
    """Prove the champion on golden rows, then serve it through the stack's model deployer."""
    prepare(stack)
    asked = read_params(params, {"stage": stage})
    from commands.deploy import deploy as run

    run(asked, stack, config, version)
