"""`run.py replay YEARS`."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.arguments import options
from commands.arguments.options import parse_years, prepare, read_params


def replay(
    years: Annotated[str, typer.Argument(help="Such as 2005-2024.", metavar="YEARS")],
    source: options.Source = None,
    refresh: options.Refresh = False,
    data_version: options.DataVersion = None,
    stage: options.Stage = None,
    stack: options.Stack = "local",
    params: options.ParamsFile = None,
    config: options.ConfigFile = None,
) -> None:
    """Show what would have been decided in past years.

    The monitor walks through them month by month, and trains where it decides to.
    """
    wanted = parse_years(years, "YEARS")
    prepare(stack)
    given = {
        "data.years": wanted,
        "data.source": source,
        "data.refresh": refresh or None,
        "data.version": data_version,
        "stage": stage,
    }
    asked = read_params(params, given)
    from commands.replay import replay as run

    run(asked, stack, config, wanted)
