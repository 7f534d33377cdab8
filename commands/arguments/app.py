"""All commands together: `run.py --pipeline NAME`, and `run.py COMMAND`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import typer
from typer._click.core import Command, Context
from typer.core import TyperGroup

from commands.arguments.champion import promote, rollback
from commands.arguments.clean import clean
from commands.arguments.data import data
from commands.arguments.database import database
from commands.arguments.deploy import deploy
from commands.arguments.inference import inference
from commands.arguments.keys import keys
from commands.arguments.monitor import monitor
from commands.arguments.replay import replay
from commands.arguments.serve import serve, stop
from commands.arguments.stack import stack
from commands.arguments.status import status
from commands.arguments.train import train

PIPELINE = "--pipeline"
PIPELINES: dict[str, Callable[..., None]] = {
    "train": train,
    "deploy": deploy,
    "inference": inference,
    "monitor": monitor,
}
COMMANDS: tuple[Callable[..., None], ...] = (serve, stop, status, promote, rollback, replay, clean)
GROUPS = (data, keys, stack, database)
HELP = """Learn from road-accident files how likely someone is killed or hospitalised,
and serve it.

\b
  --pipeline train      learn from years of accidents, promote what earns it
  --pipeline deploy     serve the champion
  --pipeline inference  score a year or a file
  --pipeline monitor    is it still good? decide, and act on it


Each has its own options: run.py --pipeline train --help, run.py serve --help.

\b
  python run.py --pipeline train --source data.gouv --years 2019-2023
  python run.py --pipeline inference --input 2022
  python run.py --pipeline monitor --every 1d
"""


class CommandLine(TyperGroup):
    """A group to which `--pipeline NAME` is a command, wherever it stands among the options."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: Any
    ) -> Context:
        """Put the pipeline first, as the name of its command."""
        return super().make_context(info_name, _pipeline_first(args), parent, **extra)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Say of a pipeline's bare name how it is written."""
        if args[0] in PIPELINES:
            ctx.fail(f"{args[0]!r} is no command but a pipeline: {PIPELINE} {args[0]}")
        return super().resolve_command(ctx, args)

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        """Either a pipeline or a command, each with options of its own."""
        return [f"{PIPELINE} NAME | COMMAND", "[OPTIONS]"]


def build() -> typer.Typer:
    """Return the whole command line."""
    # Plain help: rich would take a third of a second to draw it, and more lines.
    app = typer.Typer(cls=CommandLine, help=HELP, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_root)
    for name, command in PIPELINES.items():
        app.command(f"{PIPELINE} {name}", hidden=True)(command)
    for command in COMMANDS:
        app.command()(command)
    for group in GROUPS:
        app.add_typer(group)
    return app


def _root(
    pipeline: Annotated[
        Literal["train", "deploy", "inference", "monitor"] | None,
        typer.Option(metavar="NAME", help="Run this pipeline."),
    ] = None,
) -> None:
    """Declare the option for help and completion: `_pipeline_first` takes it away."""


def _pipeline_first(words: Sequence[str]) -> list[str]:
    """Return the words with `--pipeline NAME`, or `--pipeline=NAME`, as one word before all others."""
    for at, word in enumerate(words):
        option, _, name = word.partition("=")
        rest = words[at + 1 :]
        if option == PIPELINE and not name and rest:
            name, *rest = rest
        if option == PIPELINE and name in PIPELINES:
            return ["--", f"{PIPELINE} {name}", *words[:at], *rest]  # behind --: not an option any more
    return list(words)
