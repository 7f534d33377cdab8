"""`run.py data download|check YEARS`."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.arguments import options
from commands.arguments.options import parse_years, read_params

Years = Annotated[str, typer.Argument(help="Such as 2018, 2018,2024 or 2019-2023.", metavar="YEARS")]

data = typer.Typer(name="data", help="Download and check files of accidents.")


@data.command()
def download(
    years: Years, source: options.Source = None, refresh: options.Refresh = False,
    params: options.ParamsFile = None,
) -> None:  # fmt: skip
    """Have the files of some years here, under the hash that names them."""
    given = {
        "data.years": parse_years(years, "YEARS"),
        "data.source": source,
        "data.refresh": refresh or None,
    }
    asked = read_params(params, given)
    from commands.data import download as work

    work(asked)


@data.command()
def check(years: Years, source: options.Source = None, params: options.ParamsFile = None) -> None:
    """Read the files of some years as a training would: what is repaired, and whether they can be read."""
    asked = read_params(params, {"data.years": parse_years(years, "YEARS"), "data.source": source})
    from commands.data import check as work

    work(asked)
