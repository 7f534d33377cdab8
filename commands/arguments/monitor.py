"""`run.py --pipeline monitor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from accidents.errors import SettingsError
from commands.arguments import options
from commands.arguments.options import absolute, prepare, read_params


def monitor(
    input: options.Input = None,
    every: Annotated[
        str | None, typer.Option(metavar="PERIOD", help="Again and again, such as 30m, 6h or 1d.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, help="Of the log, the last days.", metavar="DAYS")
    ] = None,
    last: Annotated[
        int | None, typer.Option(min=1, help="Of the log, the last predictions.", metavar="NUMBER")
    ] = None,
    decide_only: Annotated[bool, typer.Option("--decide-only", help="Decide, and leave it at that.")] = False,
    only: Annotated[
        Literal["monitor", "train", "promote", "deploy", "verify", "rollback"] | None,
        typer.Option(help="This stage of the loop and no other; exit code 99: it is not due."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Who starts it, for the history; without: by hand.", metavar="TEXT")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write what this look decides there, as JSON.")
    ] = None,
    source: options.Source = None,
    refresh: options.Refresh = False,
    tune: options.Tune = None,
    stage: options.Stage = None,
    stack: options.Stack = "local",
    params: options.ParamsFile = None,
    config: options.ConfigFile = None,
) -> None:
    """Hold the prediction log, or --input, against what was promised; decide, and act on it."""
    if input is not None and every is not None:
        raise SettingsError("--input and --every do not go together: give one of them")
    if every is not None and reason is not None:
        raise SettingsError("--reason does not go with --every, whose looks are in the history as: schedule")
    if days is not None and last is not None:
        raise SettingsError("--days and --last do not go together: give one of them")
    if input is not None and (days is not None or last is not None):
        raise SettingsError("--days and --last are of the prediction log, and do not go with --input")
    if only is not None and (every is not None or decide_only):
        raise SettingsError("--only does not go with --every or --decide-only: give one of them")
    if report is not None and (every is not None or only not in (None, "monitor")):
        raise SettingsError("--report is of one look, and does not go with --every or another stage's --only")
    if only not in (None, "monitor") and input is not None:
        raise SettingsError(f"--input does not go with --only {only}: the loop knows it")
    if input is not None and Path(input).expanduser().is_dir():
        raise SettingsError(
            f"--input {input} is a folder: a retraining would take its year from the champion's source. Give "
            f"both: --input YEAR --source {input}"
        )
    prepare(stack)
    given = {
        "monitor.window.days": days,
        "monitor.window.last": last,
        "data.source": source,
        "data.refresh": refresh or None,
        "tuning.trials": tune,
        "stage": stage,
    }
    asked = read_params(params, given)
    from commands import monitor as watch

    if every is None:
        accidents = None if input is None else absolute(input)
        watch.monitor(
            asked, stack, config, accidents, source, not decide_only, reason or "by hand", only, report
        )
    else:
        watch.monitor_every(asked, stack, config, source, not decide_only, every)
