"""`run.py --pipeline inference`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from accidents.errors import SettingsError
from commands.arguments import options
from commands.arguments.options import absolute, prepare, read_params


def inference(
    input: options.Input = None,
    output: Annotated[
        str | None,
        typer.Option(help="Folder for the predictions; without: reports/inference/INPUT.", metavar="FOLDER"),
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Score with this version, not the champion.", metavar="VERSION")
    ] = None,
    reasons: Annotated[
        Literal["all", "alerts", "none"], typer.Option(help="Accidents that reasons are given for.")
    ] = "all",
    raw_csv: Annotated[
        bool,
        typer.Option(
            "--raw-csv", help="CSV files for programs: cells that spreadsheets compute stay as they are."
        ),
    ] = False,
    source: options.Source = None,
    refresh: options.Refresh = False,
    data_version: options.DataVersion = None,
    stage: options.Stage = None,
    stack: options.Stack = "local",
    params: options.ParamsFile = None,
    config: options.ConfigFile = None,
) -> None:
    """Score a year or a file of accidents: probability, band and reasons of each, and a report."""
    if input is None:
        raise SettingsError("--pipeline inference needs --input: --input 2022, or a file")
    prepare(stack)
    from accidents.scoring.batch.inputs import is_year

    if data_version is not None and not is_year(input):
        raise SettingsError(
            f"--data-version does not go with --input {input}: it is that of a year's files. Give a year."
        )
    given = {
        "data.source": source,
        "data.refresh": refresh or None,
        "data.version": data_version,
        "stage": stage,
    }
    asked = read_params(params, given)
    from commands.inference import inference as run

    run(asked, stack, config, absolute(input), output, version, reasons, raw_csv)
