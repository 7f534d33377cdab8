"""What is wrong with a command line, in one line that says where an option belongs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from typer import TyperException
from typer._click.core import Command
from typer._click.exceptions import NoSuchOption, UsageError
from typer.core import TyperGroup

FORMER = {
    "--serve": "serve",
    "--stop": "stop",
    "--status": "status",
    "--new-key": "keys new",
    "--revoke-key": "keys revoke NAME",
    "--promote": "promote VERSION",
    "--rollback": "rollback",
    "--replay": "replay YEARS",
}


def explain(error: TyperException, words: Sequence[str]) -> str:
    """Return the error in words; of an option that is unknown here, where it belongs."""
    if not isinstance(error, UsageError) or error.ctx is None:
        return error.format_message()
    if isinstance(error, NoSuchOption):
        former = next((option for word in words if (option := word.partition("=")[0]) in FORMER), None)
        if former:
            return f"{former} is a command of its own now: python run.py {FORMER[former]}"
        owners = ", ".join(_owners(error.ctx.find_root().command, error.option_name))
        if owners and error.ctx.parent is None:
            return f"{error.option_name} goes behind what it belongs to: {owners}."
        if owners:
            return f"{error.option_name} does not go with {error.ctx.command_path}, but with: {owners}."
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    end = "" if message.endswith(("?", ")")) else "."
    return f"{message}{end} {error.ctx.command_path} --help tells more."


def _owners(command: Command, option: str, path: str = "") -> Iterator[str]:
    """Yield the commands that have an option."""
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _owners(inner, option, f"{path} {name}".strip())
    elif any(option in (*each.opts, *each.secondary_opts) for each in command.params):
        yield path
