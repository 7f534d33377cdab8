"""The one command line: `python run.py --help`."""

from __future__ import annotations

import re
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from accidents.errors import AccidentsError, SettingsError
from accidents.settings import Params, load_params
from accidents.versioning import git_commit
from stacks.definition import read_stack
from stacks.environment import prepare_environment
from stacks.errors import StackError

ROOT = Path(__file__).resolve().parent
HELP = """Learn from road-accident files how likely someone is killed or hospitalised.

[bold]Examples[/]

  python run.py --pipeline train
  python run.py --pipeline train --source data.gouv --years 2019-2023
  python run.py --pipeline train --source ../files --years 2018,2024 --stage on_scene
  python run.py --promote 3
  python run.py --rollback
"""
console = Console()


class Pipeline(StrEnum):
    """The pipelines there are."""

    train = "train"


class Stage(StrEnum):
    """What is known when the model is asked."""

    dispatch = "dispatch"
    on_scene = "on_scene"


def main(
    pipeline: Annotated[Pipeline | None, typer.Option(help="Run this pipeline.")] = None,
    stack: Annotated[str, typer.Option(help="ZenML stack to run on: a file in stacks/.")] = "local",
    params: Annotated[Path, typer.Option(help="WHAT to compute.", show_default="params.yaml")] = ROOT
    / "params.yaml",
    config: Annotated[
        Path | None, typer.Option(help="HOW to run; default: configs/PIPELINE[.STACK].yaml.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="sample, data.gouv, or a folder of published files.")
    ] = None,
    years: Annotated[str | None, typer.Option(help="Such as 2018, 2018,2024 or 2019-2023.")] = None,
    test_year: Annotated[int | None, typer.Option(help="Test on this year instead of the last.")] = None,
    stage: Annotated[Stage | None, typer.Option(help="What is known when the model is asked.")] = None,
    tune: Annotated[int | None, typer.Option(min=0, help="Optuna trials on the training years.")] = None,
    data_version: Annotated[str | None, typer.Option(help="Train on these files again: a DVC hash.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask data.gouv.fr for newer files.")] = False,
    cache: Annotated[bool, typer.Option(help="Take steps that have not changed from the last run.")] = True,
    promote: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Make a version champion by hand.")
    ] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Put back the champion before this one.")
    ] = False,
) -> None:
    chosen = [pipeline is not None, promote is not None, rollback]
    if sum(chosen) != 1:
        raise SettingsError("give one of --pipeline, --promote and --rollback; --help explains them")
    given = {
        "data.source": source,
        "data.years": None if years is None else parse_years(years),
        "data.refresh": refresh or None,
        "data.version": data_version,
        "split.test_year": test_year,
        "stage": stage and stage.value,
        "tuning.trials": tune,
    }
    settings = load_params(params, {key: value for key, value in given.items() if value is not None})
    read_stack(stack)
    if pipeline is not None:
        train(settings, stack, config, cache)
    else:
        change_champion(settings, stack, promote)


def parse_years(text: str) -> list[int]:
    """`2018`, `2018,2024`, `2019-2023`, or any of these joined by commas, as years in order."""
    years: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{4})(?:\s*-\s*(\d{4}))?\s*", part)
        if not match or (match[2] and match[2] < match[1]):
            raise SettingsError(
                f"--years {text!r} is not a list of years; write 2018, 2018,2024 or 2019-2023"
            )
        years.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(years)


def train(params: Params, stack: str, config: Path | None, cache: bool) -> None:
    """Check everything, have the data, run the pipeline on the stack, show what came out."""
    from pipelines.config import load_config

    started = time.monotonic()
    options = load_config("train", stack, ROOT / "configs", config).options()
    raw_version = raw_data(params)
    registry = on_stack(stack)
    from pipelines import summary
    from pipelines.train import train as pipeline

    champion = registry.champion(registry.model_name(params.stage))
    if not cache:
        options["enable_cache"] = False
    run: Any = pipeline.with_options(**options)(
        params=params,
        raw_version=raw_version,
        champion=str(champion.number) if champion else None,
        provenance={"git_commit": git_commit(ROOT)},
    )
    summary.export(run, ROOT / "reports")
    summary.show(run, ROOT / "reports", stack, time.monotonic() - started, console)


def raw_data(params: Params) -> str:
    """Have the raw data, before ZenML starts; return its version."""
    from accidents.data import have_raw

    return have_raw(params.data).version


def change_champion(params: Params, stack: str, wanted: str | None) -> None:
    """Promote version `wanted` by hand, or roll back to the champion before this one if it is None."""
    from accidents.bundle import load_bundle

    registry = on_stack(stack)
    name = registry.model_name(params.stage)
    if wanted is None:
        now, before = registry.rollback(name)
        console.print(
            f"{name}: version {now.number} is champion again; version {before.number} is not any more."
        )
        return
    version = registry.version(name, wanted)
    load_bundle(registry.bundle_of(version).path)  # an altered bundle is refused before it is champion
    registry.promote(version, "promoted by hand")
    console.print(f"{name}: version {wanted} is champion.")


def on_stack(stack: str) -> Any:
    """Apply and activate the stack; return the registry of model versions that works on it."""
    with console.status(f"Preparing stack {stack} ..."):
        from stacks.apply import apply_stack

        apply_stack(stack)
        from steps import registry
    return registry


def cli(words: list[str]) -> int:
    """Run the command line; 0 if it went well, 1 after an error told plainly."""
    prepare_environment(ROOT)  # before anything imports ZenML
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.command(help=HELP)(main)
    try:
        app(words, prog_name="run.py")
    except (AccidentsError, StackError) as error:
        Console(stderr=True).print(f"[red]Error:[/] {escape(str(error))}", highlight=False)
        return 1
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


if __name__ == "__main__":
    raise SystemExit(cli(sys.argv[1:] or ["--help"]))
