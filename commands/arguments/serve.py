"""`run.py serve` and `run.py stop`."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.arguments import options
from commands.arguments.options import prepare, read_params


def serve(
    detach: Annotated[bool, typer.Option("--detach", help="In the background.")] = False,
    stage: options.Stage = None,
    stack: options.Stack = "local",
    params: options.ParamsFile = None,
) -> None:
    """Run the API in front of the deployed model.

    Its settings are in configs/api.yaml.
    """
    prepare(stack)
    asked = read_params(params, {"stage": stage})
    from commands.api import serve_api

    serve_api(asked, stack, detach, params)


def stop(
    every: Annotated[
        bool, typer.Option("--all", help="Also model servers of other stacks on this machine.")
    ] = False,
    stack: options.Stack = "local",
) -> None:
    """Stop the API and the model servers."""
    prepare(stack)
    from commands.api import stop_serving

    stop_serving(stack, every)
