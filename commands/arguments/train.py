"""`run.py --pipeline train`."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.arguments import options
from commands.arguments.options import parse_years, prepare, read_params


def train(
    years: Annotated[
        str | None, typer.Option(help="Such as 2018, 2018,2024 or 2019-2023.", metavar="YEARS")
    ] = None,
    source: options.Source = None,
    refresh: options.Refresh = False,
    data_version: options.DataVersion = None,
    test_year: Annotated[
        int | None, typer.Option(help="Test on this year instead of the last.", metavar="YEAR")
    ] = None,
    tune: options.Tune = None,
    cache: Annotated[bool, typer.Option(help="Take steps that have not changed from the last run.")] = True,
    stage: options.Stage = None,
    stack: options.Stack = "local",
    params: options.ParamsFile = None,
    config: options.ConfigFile = None,
) -> None:
    """Learn from years of accident files; evaluate, register, and promote what earns it."""
    prepare(stack)
    given = {
        "data.years": _years(years, data_version),
        "data.source": source,
        "data.refresh": refresh or None,
        "data.version": data_version,
        "split.test_year": test_year,
        "tuning.trials": tune,
        "stage": stage,
    }
    asked = read_params(params, given)
    from commands.train import train as run

    run(asked, stack, config, cache)


def _years(given: str | None, data_version: str | None) -> list[int] | None:
    """Return the years asked for; of a data version all that it holds, whatever params.yaml says."""
    if given is not None:
        return parse_years(given)
    return None if data_version is None else []
