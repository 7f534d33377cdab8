"""The one command line: `python run.py --help`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

# Nothing heavy up here: `--help` answers at once, and a command loads what it needs.
from accidents.errors import AccidentsError, BusyError, SettingsError
from commands.project import ROOT, put_off_garbage
from commands.scratch import scratch
from stacks.errors import StackError

if TYPE_CHECKING:
    from accidents.settings import Params

HELP = """Learn from road-accident files how likely someone is killed or hospitalised, and serve it.

[bold]Examples[/]

  python run.py --pipeline train
  python run.py --pipeline train --source data.gouv --years 2019-2023
  python run.py --pipeline train --source ../files --years 2018,2024 --stage on_scene
  python run.py --pipeline deploy
  python run.py --pipeline inference --input 2022
  python run.py --pipeline monitor --every 1d
  python run.py --pipeline monitor --input 2023
  python run.py --serve
  python run.py --status
  python run.py --rollback
  python run.py clean
"""
TRAINING, SERVING, WATCHING, CHAMPION = "Training", "Serving", "Watching", "Champion"


class Pipeline(StrEnum):
    """The pipelines there are."""

    train = "train"
    deploy = "deploy"
    inference = "inference"
    monitor = "monitor"


class Stage(StrEnum):
    """What is known when the model is asked."""

    dispatch = "dispatch"
    on_scene = "on_scene"


class Reasons(StrEnum):
    """Which accidents of a batch are explained."""

    all = "all"
    alerts = "alerts"
    none = "none"


class Scope(StrEnum):
    """What a key may do: serving/api/keys.py."""

    predict = "predict"
    label = "label"
    correct = "correct"


def main(
    context: typer.Context,
    pipeline: Annotated[Pipeline | None, typer.Option(help="Run this pipeline.")] = None,
    stack: Annotated[str, typer.Option(help="ZenML stack to run on: a file in stacks/.")] = "local",
    params: Annotated[Path, typer.Option(help="WHAT to compute.", show_default="params.yaml")] = ROOT
    / "params.yaml",
    config: Annotated[
        Path | None, typer.Option(help="HOW to run; default: configs/PIPELINE[.STACK].yaml.")
    ] = None,
    stage: Annotated[Stage | None, typer.Option(help="What is known when the model is asked.")] = None,
    source: Annotated[
        str | None, typer.Option(help="sample, data.gouv, or a folder of published files.")
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask data.gouv.fr for newer files.")] = False,
    years: Annotated[
        str | None, typer.Option(help="Such as 2018, 2018,2024 or 2019-2023.", rich_help_panel=TRAINING)
    ] = None,
    test_year: Annotated[
        int | None, typer.Option(help="Test on this year instead of the last.", rich_help_panel=TRAINING)
    ] = None,
    tune: Annotated[
        int | None, typer.Option(min=0, help="Optuna trials on the training years.", rich_help_panel=TRAINING)
    ] = None,
    data_version: Annotated[
        str | None,
        typer.Option(help="Train on these files again: a DVC hash.", rich_help_panel=TRAINING),
    ] = None,
    cache: Annotated[
        bool,
        typer.Option(help="Take steps that have not changed from the last run.", rich_help_panel=TRAINING),
    ] = True,
    version: Annotated[
        str | None,
        typer.Option(help="Deploy or score with this version, not the champion.", rich_help_panel=SERVING),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(
            help="What --pipeline inference scores, or monitor looks at instead of the prediction log: a "
            "year, or a CSV or Parquet file of accidents.",
            metavar="FILE|YEAR",
            rich_help_panel=SERVING,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where its predictions go.", show_default="reports/inference/INPUT", rich_help_panel=SERVING
        ),
    ] = None,
    reasons: Annotated[
        Reasons, typer.Option(help="Accidents it gives reasons for.", rich_help_panel=SERVING)
    ] = Reasons.all,
    raw_csv: Annotated[
        bool,
        typer.Option(
            "--raw-csv", help="Its CSV files for programs: cells that spreadsheets compute stay as they are.",
            rich_help_panel=SERVING,
        ),
    ] = False,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve", help="The API on top of the deployed model (settings: configs/api.yaml).",
            rich_help_panel=SERVING,
        ),
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="With --serve: in the background.", rich_help_panel=SERVING)
    ] = False,
    stop: Annotated[
        bool,
        typer.Option("--stop", help="Stop the API and the model servers.", rich_help_panel=SERVING),
    ] = False,
    status: Annotated[
        bool,
        typer.Option("--status", help="What is deployed, healthy or not, predictions, drift.",
                     rich_help_panel=SERVING),
    ] = False,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make an API key; it is shown once.", rich_help_panel=SERVING)
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="With --new-key: whose key it is.", rich_help_panel=SERVING)
    ] = None,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            help="With --new-key: what it may do; again for more. Without: predict.",
            rich_help_panel=SERVING,
        ),
    ] = None,
    revoke_key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make an API key useless.", rich_help_panel=SERVING)
    ] = None,
    hook: Annotated[
        bool,
        typer.Option(
            "--hook", help="With --new-key, --revoke-key: of those that start the loop, nothing else.",
            rich_help_panel=SERVING,
        ),
    ] = False,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="PERIOD", help="With monitor: again and again, such as 30m, 6h or 1d.",
            rich_help_panel=WATCHING,
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, help="With monitor: of the log, the last days.", rich_help_panel=WATCHING),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(min=1, help="With monitor: of the log, the last predictions.", rich_help_panel=WATCHING),
    ] = None,
    decide_only: Annotated[
        bool,
        typer.Option(
            "--decide-only", help="With monitor: decide, and leave it at that.", rich_help_panel=WATCHING
        ),
    ] = False,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar="YEARS",
            help="With monitor: what would have been decided, month by month, such as 2005-2024.",
            rich_help_panel=WATCHING,
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="With monitor: who starts it, for the history.", rich_help_panel=WATCHING)
    ] = "by hand",
    promote: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Make a version champion by hand; the endpoint follows.",
            rich_help_panel=CHAMPION,
        ),
    ] = None,
    rollback: Annotated[
        bool,
        typer.Option("--rollback", help="Put back the champion before this one; the endpoint follows.",
                     rich_help_panel=CHAMPION),
    ] = False,
) -> None:  # fmt: skip
    if context.invoked_subcommand is not None:
        _refuse_options_before(context)
        return
    actions = {
        "--pipeline": pipeline is not None, "--promote": promote is not None, "--rollback": rollback,
        "--serve": serve, "--stop": stop, "--status": status,
        "--new-key": new_key, "--revoke-key": revoke_key is not None,
    }  # fmt: skip
    if sum(actions.values()) != 1:
        raise SettingsError(f"give one of {', '.join(actions)}; --help explains them")
    watching = pipeline is Pipeline.monitor
    misplaced = {
        "--every": every is not None and not watching,
        "--days": days is not None and not watching,
        "--last": last is not None and not watching,
        "--decide-only": decide_only and not watching,
        "--replay": replay is not None and not watching,
        "--input": input is not None and pipeline not in (Pipeline.inference, Pipeline.monitor),
        "--version": version is not None and pipeline not in (Pipeline.deploy, Pipeline.inference),
        "--output": output is not None and pipeline is not Pipeline.inference,
        "--raw-csv": raw_csv and pipeline is not Pipeline.inference,
        "--detach": detach and not serve,
        "--name": name is not None and not new_key,
        "--scope": bool(scope) and (not new_key or hook),
        "--hook": hook and not new_key and revoke_key is None,
    }
    for option in (option for option, wrong in misplaced.items() if wrong):
        raise SettingsError(f"{option} does not go with this command; --help tells where it belongs")
    if pipeline is Pipeline.inference and input is None:
        raise SettingsError("--pipeline inference needs --input: --input 2022, or a file")
    if sum(one is not None for one in (input, replay, every)) > 1 and watching:
        raise SettingsError("--input, --replay and --every do not go together: give one of them")
    given = {
        "data.source": source,
        "data.years": None if years is None else parse_years(years),
        "data.refresh": refresh or None,
        "data.version": data_version,
        "split.test_year": test_year,
        "stage": stage and stage.value,
        "tuning.trials": tune,
        "monitor.window.days": days,
        "monitor.window.last": last,
    }
    if replay is not None:
        given["data.years"] = parse_years(replay, "--replay")
    settings = partial(_params, params, given)
    _prepare(stack)
    if pipeline is Pipeline.train:
        from commands.train import train

        train(settings(), stack, config, cache)
    elif pipeline is Pipeline.deploy:
        from commands.deploy import deploy

        deploy(settings(), stack, config, version)
    elif pipeline is Pipeline.inference:
        from commands.inference import inference

        inference(settings(), stack, config, str(input), output, version, reasons.value, raw_csv)
    elif watching and replay is not None:
        from commands.replay import replay as replay_years

        asked = settings()
        replay_years(asked, stack, config, list(asked.data.years))
    elif watching and every is not None:
        from commands.monitor import monitor_every

        monitor_every(settings(), stack, config, source, not decide_only, every)
    elif watching:
        from commands.monitor import monitor

        monitor(settings(), stack, config, input, source, not decide_only, reason)
    elif serve:
        from commands.api import serve_api

        serve_api(settings(), stack, detach)
    elif stop:
        from commands.api import stop_serving

        stop_serving(stack)
    elif status:
        from commands.status import show_status

        show_status(stack)
    elif new_key:
        from commands import keys

        keys.new(name, [one.value for one in scope or ()], hook)
    elif revoke_key is not None:
        from commands import keys

        keys.revoke(revoke_key, hook)
    else:
        from commands.champion import change_champion

        change_champion(settings(), stack, promote)


def _prepare(stack: str) -> None:
    """Set the environment, before anything imports ZenML, and refuse a stack that there is no file for."""
    from stacks.definition import read_stack
    from stacks.environment import prepare_environment

    prepare_environment(ROOT)
    read_stack(stack)


def _params(path: Path, given: Mapping[str, Any]) -> Params:
    """params.yaml with what was given on the command line over it. Raises SettingsError."""
    from accidents.settings import load_params

    return load_params(path, {key: value for key, value in given.items() if value is not None})


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it without asking.")] = False,
    stack: Annotated[str, typer.Option(help="Whose runs: a file in stacks/.")] = "local",
    params: Annotated[Path, typer.Option(help="What is kept.", show_default="params.yaml")] = ROOT
    / "params.yaml",
) -> None:
    """Show what is older than `keep` in params.yaml says, and remove it."""
    from commands.clean import clean as clean_up

    _prepare(stack)
    clean_up(_params(params, {}), stack, yes)


def _refuse_options_before(context: typer.Context) -> None:
    """Options before a sub-command would be passed over in silence."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    if given:
        option = "--" + given[0].replace("_", "-")
        raise SettingsError(f"{option} stands before {context.invoked_subcommand}: write options behind it")


def parse_years(text: str, option: str = "--years") -> list[int]:
    """`2018`, `2018,2024`, `2019-2023`, or any of these joined by commas, as years in order."""
    years: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{4})(?:\s*-\s*(\d{4}))?\s*", part)
        if not match or (match[2] and match[2] < match[1]):
            raise SettingsError(
                f"{option} {text!r} is not a list of years; write 2018, 2018,2024 or 2019-2023"
            )
        years.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(years)


def cli(words: list[str]) -> int:
    """Run the command line; 0 if it went well, 1 after an error told plainly, 75 if another loop runs."""
    put_off_garbage()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.callback(invoke_without_command=True, help=HELP)(main)
    app.command()(clean)
    try:
        with scratch():
            app(words, prog_name="run.py")
    except (AccidentsError, StackError) as error:
        Console(stderr=True).print(f"[red]Error:[/] {escape(str(error))}", highlight=False)
        return BusyError.exit_code if isinstance(error, BusyError) else 1
    except SystemExit as stop:
        return int(stop.code or 0)
    except Exception as error:
        Console(stderr=True).print(f"[red]Error:[/] {escape(_unforeseen(error))}", highlight=False)
        return 1
    return 0


def _unforeseen(error: Exception) -> str:
    """What a person needs of an error that is no fault of theirs; where it came from goes into a file."""
    import traceback

    from commands.foreseen import remedy

    first = (str(error).strip() or "no more is said").splitlines()[0]
    said = [f"{type(error).__name__}: {first}", *filter(None, [remedy(error)])]
    file = ROOT / ".serving" / "error.log"
    with suppress(OSError):  # a full disk must not hide what is wrong
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        said.append(f"Where it came from is in {file.relative_to(ROOT)}.")
    return "\n".join(said)


if __name__ == "__main__":
    raise SystemExit(cli(sys.argv[1:] or ["--help"]))
